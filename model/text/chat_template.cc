#include "model/text/chat_template.h"

#include <algorithm>
#include <array>
#include <boost/json.hpp>

#include "base/error.h"
#include "base/mapped_file.h"
#include "model/json_file.h"
#include "model/text/jinja.h"

namespace uhd {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kImageMark = "<image>";
constexpr std::string_view kMiniCpmImageMark = "(<image>./</image>)";

// The published conversations, as templates. A first turn of the system takes the place of the standard
// words.
constexpr std::string_view kSystem =
    "{% if messages and messages[0]['role'] == 'system' %}{% set system = messages[0]['content'] %}"
    "{% set turns = messages[1:] %}{% else %}{% set turns = messages %}{% endif %}";
constexpr std::string_view kTwoSeparators =
    "{{ system + ' ' }}{% for turn in turns %}{% set user = turn['role'] == 'user' %}"
    "{{ 'USER:' if user else 'ASSISTANT:' }}{% if turn['content'] %}{{ ' ' + turn['content'] }}"
    "{{ ' ' if user else '</s>' }}{% endif %}{% endfor %}{% if add_generation_prompt %}ASSISTANT:{% endif %}";
constexpr std::string_view kChatMlDirect =
    "{{ '<|im_start|>system\\n' + system + '<|im_end|>' }}{% for turn in turns %}"
    "{{ '<|im_start|>' + turn['role'] + '\\n' }}{% if turn['content'] %}{{ turn['content'] + '<|im_end|>' }}"
    "{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";
constexpr std::string_view kChatMl =
    "{{ '<|im_start|>system\\n' + system + '<|im_end|>\\n' }}{% for turn in turns %}"
    "{{ '<|im_start|>' + turn['role'] + '\\n' + turn['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

struct Conversation {
  std::string_view name;
  std::string_view system;
  std::string_view body;
};
constexpr std::array<Conversation, 4> kConversations = {{
    {"vicuna_v1",
     "A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, "
     "detailed, and polite answers to the user's questions.",
     kTwoSeparators},
    {"llava_v1",
     "A chat between a curious human and an artificial intelligence assistant. The assistant gives helpful, "
     "detailed, and polite answers to the human's questions.",
     kTwoSeparators},
    {"chatml_direct", "Answer the questions.", kChatMlDirect},
    {"chatml", "You are a helpful assistant.", kChatMl},
}};

std::string source_of(const Conversation& conversation) {
  return "{% set system = \"" + std::string(conversation.system) + "\" %}" + std::string(kSystem) +
         std::string(conversation.body);
}

class JinjaChatTemplate final : public ChatTemplate {
 public:
  JinjaChatTemplate(const std::string& source, std::string_view image_mark,
                    std::vector<std::pair<std::string, std::string>> tokens)
      : template_(source), image_mark_(image_mark), tokens_(std::move(tokens)) {}

  ChatText render(const std::vector<ChatTurn>& turns, bool add_generation_prompt) const override {
    jinja::Dict variables;
    for (const auto& [name, text] : tokens_) variables.set(name, jinja::Value::text(text));
    jinja::List messages;
    size_t images = 0;
    for (const ChatTurn& turn : turns) {
      messages.push_back(message_of(turn));
      images += static_cast<size_t>(std::count_if(turn.parts.begin(), turn.parts.end(),
                                                  [](const ChatPart& part) { return part.image; }));
    }
    variables.set("messages", jinja::Value::of(std::move(messages)));
    variables.set("add_generation_prompt", jinja::Value::of(add_generation_prompt));
    variables.set("tools", jinja::Value::none());
    variables.set("documents", jinja::Value::none());
    MarkedText rendered = template_.render(variables);
    ChatText chat{"", rendered.typed_ranges(), find_images(rendered)};
    require(chat.images.size() == images, "the chat template places ", chat.images.size(), " images of the ",
            images, " in this conversation");
    chat.text = std::move(rendered.text);
    return chat;
  }

 private:
  jinja::Value message_of(const ChatTurn& turn) const {
    auto message = std::make_shared<jinja::Dict>();
    const bool known = turn.role == "system" || turn.role == "user" || turn.role == "assistant";
    message->set("role", jinja::Value::text(turn.role, !known));
    message->set("content", template_.loops_over_content() ? parts_of(turn) : joined(turn));
    return jinja::Value::of(std::move(message));
  }

  // Parts are joined by newlines, as LLaVA and MiniCPM-V do.
  jinja::Value joined(const ChatTurn& turn) const {
    MarkedText content;
    for (size_t i = 0; i < turn.parts.size(); ++i) {
      if (i > 0) content.append("\n");
      turn.parts[i].image ? content.append(image_mark_) : content.append(turn.parts[i].text, true);
    }
    return jinja::Value::of(std::move(content));
  }

  static jinja::Value parts_of(const ChatTurn& turn) {
    jinja::List list;
    for (const ChatPart& part : turn.parts) {
      auto dict = std::make_shared<jinja::Dict>();
      dict->set("type", jinja::Value::text(part.image ? "image" : "text"));
      if (!part.image) dict->set("text", jinja::Value::text(part.text, true));
      list.push_back(jinja::Value::of(std::move(dict)));
    }
    return jinja::Value::of(std::move(list));
  }

  // Marks of which no byte was typed by a user.
  std::vector<TextRange> find_images(const MarkedText& rendered) const {
    std::vector<TextRange> images;
    for (size_t at = rendered.text.find(image_mark_); at != std::string::npos;) {
      const size_t end = at + image_mark_.size();
      const size_t typed = rendered.typed.find('\1', at);
      if (typed >= end) {
        images.push_back({at, end});
        at = rendered.text.find(image_mark_, end);
      } else {
        at = rendered.text.find(image_mark_, at + 1);
      }
    }
    return images;
  }

  JinjaTemplate template_;
  std::string image_mark_;
  std::vector<std::pair<std::string, std::string>> tokens_;
};

boost::json::value read_if_there(const fs::path& path) {
  return fs::exists(path) ? read_json_file(path) : boost::json::value(nullptr);
}

// A template of its own, or one of several by name: then the one called "default".
std::string template_in(const boost::json::value& config, const std::string& where) {
  const auto* entry = json_member(config, "chat_template");
  if (entry == nullptr) return "";
  if (!entry->is_array()) return json_string(config, "chat_template", "", where);
  std::string source;
  for (const auto& one : entry->get_array()) {
    const std::string name = json_string(one, "name", "", where);
    if (source.empty() || name == "default") source = json_string(one, "template", "", where);
  }
  return source;
}

std::string find_template(const fs::path& directory, const boost::json::value& tokenizer_config) {
  const fs::path file = directory / "chat_template.jinja";
  if (fs::exists(file)) return read_text_file(file, size_t{1} << 20);
  const fs::path json = directory / "chat_template.json";
  const std::string own = template_in(read_if_there(json), json.string());
  return !own.empty() ? own : template_in(tokenizer_config, (directory / "tokenizer_config.json").string());
}

std::vector<std::pair<std::string, std::string>> tokens_of(const fs::path& directory,
                                                           const boost::json::value& config) {
  std::vector<std::pair<std::string, std::string>> tokens;
  const boost::json::value map = read_if_there(directory / "special_tokens_map.json");
  for (const char* key : {"bos_token", "eos_token", "pad_token", "unk_token"}) {
    for (const boost::json::value* source : {&config, &map}) {
      const auto* token = json_member(*source, key);
      if (token != nullptr && token->is_object()) token = json_member(*token, "content");
      if (token == nullptr || !token->is_string()) continue;
      tokens.emplace_back(key, std::string(token->get_string()));
      break;
    }
  }
  return tokens;
}

bool is_llava(const boost::json::value& config, const std::string& where) {
  if (json_string(config, "model_type", "", where).starts_with("llava")) return true;
  const auto* names = json_member(config, "architectures");
  if (names == nullptr || !names->is_array() || names->get_array().empty()) return false;
  const auto* first = names->get_array()[0].if_string();
  return first != nullptr && std::string_view(*first).starts_with("Llava");
}

}  // namespace

std::shared_ptr<const ChatTemplate> load_chat_template(const fs::path& directory) {
  const fs::path config_path = directory / "config.json";
  const std::string where = config_path.string();
  const boost::json::value config = read_if_there(config_path);
  const boost::json::value tokenizer_config = read_if_there(directory / "tokenizer_config.json");
  const bool minicpm = json_string(config, "model_type", "", where).starts_with("minicpmv");
  const std::string_view image_mark = minicpm ? kMiniCpmImageMark : kImageMark;
  const auto make = [&](const std::string& source) {
    return std::make_shared<JinjaChatTemplate>(source, image_mark, tokens_of(directory, tokenizer_config));
  };
  std::string name = json_string(config, "conversation", "", where);
  if (name.empty()) {
    const std::string source = find_template(directory, tokenizer_config);
    if (!source.empty()) return make(source);
    name = is_llava(config, where) ? "vicuna_v1" : "chatml";
  }
  for (const Conversation& conversation : kConversations) {
    if (conversation.name == name) return make(source_of(conversation));
  }
  throw Error(where + ": conversation '" + name + "' is none of vicuna_v1, llava_v1, chatml_direct, chatml");
}

}  // namespace uhd
