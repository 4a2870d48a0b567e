#include "model/text/chat_template.h"

#include <algorithm>
#include <array>
#include <boost/json.hpp>

#include "base/error.h"
#include "base/log.h"
#include "base/mapped_file.h"
#include "base/utf8.h"
#include "model/json_file.h"
#include "model/text/jinja/builtins.h"
#include "model/text/jinja/template.h"
#include "model/text/jinja/text.h"

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
// It has no words for instructions in the middle.
constexpr std::string_view kTwoSeparators =
    "{{ system + ' ' }}{% for turn in turns %}{% set user = turn['role'] == 'user' %}"
    "{% if turn['role'] == 'system' %}{{ raise_exception('messages[' ~ (loop.index0 + messages | length - "
    "turns | "
    "length) ~ \"] has the role system: this model takes instructions in its first message only\") }}{% "
    "endif %}"
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

constexpr std::array<std::string_view, 3> kRoles = {"system", "user", "assistant"};
constexpr size_t kToolRole = kRoles.size();  // results of tools, which are one text
std::string_view name_of_role(size_t role) { return role == kToolRole ? "tool" : kRoles[role]; }

// A template gets the content of a message as one text, or as a list of parts. Templates differ, for each
// role.
enum class Form : uint8_t { text, parts };
using RoleForms = std::array<Form, kRoles.size()>;
struct Forms {
  RoleForms of_text{};    // of messages with one text
  RoleForms of_parts{};   // of messages with several
  RoleForms of_images{};  // of messages with images
};

size_t texts_of(const ChatTurn& turn) {
  return static_cast<size_t>(
      std::count_if(turn.parts.begin(), turn.parts.end(), [](const ChatPart& part) { return !part.image; }));
}
bool has_images(const ChatTurn& turn) { return texts_of(turn) < turn.parts.size(); }

size_t role_of(const ChatTurn& turn, size_t place) {
  if (turn.role == "tool") return kToolRole;
  const std::string_view name = turn.role == "developer" ? "system" : std::string_view(turn.role);
  const auto found = std::find(kRoles.begin(), kRoles.end(), name);
  require(found != kRoles.end(), "messages[", place, "] has the role '", turn.role,
          "', which is none of system, developer, user, assistant, tool");
  return static_cast<size_t>(found - kRoles.begin());
}

// Returns true if a character begins at this byte that a template's `trim` would not take away.
bool is_visible(std::string_view text, size_t at) {
  const auto byte = static_cast<unsigned char>(text[at]);
  if (byte < 0x80) return !jinja::is_blank(byte);
  if (!begins_character(text[at])) return false;
  return utf8_length(text, at) == 0 || !jinja::is_blank(utf8_at(text, at).value);
}
// Counts the characters that are not blank. Changes of case keep their number or raise it.
int64_t visible(std::string_view text) {
  int64_t count = 0;
  for (size_t at = 0; at < text.size(); ++at) count += is_visible(text, at) ? 1 : 0;
  return count;
}

jinja::Value value_of(const boost::json::value& v);

jinja::Value dict_of(const boost::json::object& object) {
  auto dict = std::make_shared<jinja::Dict>();
  for (const auto& [key, value] : object) dict->set(jinja::Value::text(key, kUserVariable), value_of(value));
  return jinja::Value::of(std::move(dict));
}

// JSON may be no deeper than its parser allows.
jinja::Value value_of(const boost::json::value& v) {
  switch (v.kind()) {
    case boost::json::kind::bool_:
      return jinja::Value::of(v.get_bool());
    case boost::json::kind::int64:
      return jinja::Value::of(v.get_int64());
    case boost::json::kind::uint64:
    case boost::json::kind::double_:
      return jinja::Value::of(v.to_number<double>());
    case boost::json::kind::string:
      return jinja::Value::text(v.get_string(), kUserVariable);
    case boost::json::kind::array: {
      jinja::List list;
      for (const boost::json::value& item : v.get_array()) list.push_back(value_of(item));
      return jinja::Value::of(std::move(list));
    }
    case boost::json::kind::object:
      return dict_of(v.get_object());
    default:
      return jinja::Value::none();
  }
}

std::vector<std::pair<std::string, jinja::Value>> read_variables(std::string_view json) {
  std::vector<std::pair<std::string, jinja::Value>> variables;
  if (json.empty()) return variables;
  boost::system::error_code failed;
  const boost::json::value value = boost::json::parse(json, failed);
  require(!failed && value.is_object(), "the variables of the chat template are no JSON object");
  for (const auto& [key, member] : value.get_object()) variables.emplace_back(key, value_of(member));
  return variables;
}

// Returns nothing for an empty text.
jinja::Value array_of(std::string_view json, std::string_view what) {
  if (json.empty()) return jinja::Value::none();
  boost::system::error_code failed;
  const boost::json::value value = boost::json::parse(json, failed);
  require(!failed && value.is_array(), what, " are no JSON array");
  return value_of(value);
}

// Shows whether a template writes tools at all.
constexpr std::string_view kProbedTool =
    R"([{"type":"function","function":{"name":"probed_tool","description":"d","parameters":{"type":"object","properties":{}}}}])";

// Numbers for the texts of a conversation, so that each can be found in the rendering. They come again in a
// long one, but for that of the last text: its end is where an answer continues.
class Authors {
 public:
  explicit Authors(const std::vector<ChatTurn>& turns) {
    for (const ChatTurn& turn : turns) left_ += texts_of(turn);
  }
  Author next() {
    if (--left_ == 0) return kUserTypedLast;
    last_ = static_cast<Author>(last_ % (kUserVariable - 1) + 1);
    return last_;
  }

 private:
  size_t left_ = 0;
  Author last_ = kTemplateWrote;
};

class JinjaChatTemplate final : public ChatTemplate {
 public:
  // thoughtless: the template is told that the model is not to think.
  JinjaChatTemplate(const std::string& source, std::string_view image_mark,
                    std::vector<std::pair<std::string, std::string>> tokens, ImageOrder order,
                    bool thoughtless)
      : template_(source),
        image_mark_(image_mark),
        tokens_(std::move(tokens)),
        order_(order),
        thinks_(source.find("</think>") != std::string::npos),
        thoughtless_(thoughtless) {
    for (const std::string& name : template_.free_names()) {
      if (!is_own(name)) variables_.push_back(name);
    }
    choose_forms();
    tools_ = find_tool_form(source);
  }

  using ChatTemplate::render;
  ChatText render(const std::vector<ChatTurn>& turns, ChatEnd end, std::string_view variables,
                  std::string_view tools) const override {
    if (tools_ == ToolForm::none) refuse_tools(turns, tools);
    return render(turns, end, {variables, tools}, forms_, Loss::of_what_is_read);
  }
  const std::vector<std::string>& variables() const override { return variables_; }
  ImageOrder image_order() const override { return order_; }
  bool thinks() const override { return thinks_; }
  ToolForm tools() const override { return tools_; }

 private:
  static void refuse_tools(const std::vector<ChatTurn>& turns, std::string_view tools) {
    constexpr std::string_view kWhy = "the chat template of this model knows no tools";
    require(tools.empty(), kWhy);
    for (size_t i = 0; i < turns.size(); ++i) {
      require(turns[i].role != "tool", "messages[", i, "] has the role 'tool', but ", kWhy);
      require(turns[i].tool_calls.empty(), "messages[", i, "] has calls of tools, but ", kWhy);
    }
  }

  // A request gives this to the template beside its turns: JSON, or nothing.
  struct Given {
    std::string_view variables;
    std::string_view tools;
  };

  // A Loss says which typed text must not be missing: any of it, or all of a text that the template has read.
  // A template may leave out messages that it does not look at, and cut the parts it wants out of a text.
  enum class Loss : uint8_t { of_anything, of_what_is_read };

  // Names that a client cannot give a value: the server's own, and those of functions and loops.
  bool is_own(std::string_view name) const {
    constexpr std::string_view kOwn[] = {
        "messages", "add_generation_prompt", "tools", "documents", "loop", "caller", "varargs", "kwargs"};
    return std::find(std::begin(kOwn), std::end(kOwn), name) != std::end(kOwn) || name.ends_with("_token") ||
           jinja::function_of(name).has_value();
  }

  ChatText render(const std::vector<ChatTurn>& turns, ChatEnd end, const Given& given, const Forms& forms,
                  Loss loss) const {
    jinja::Dict variables;
    if (thoughtless_) variables.set("enable_thinking", jinja::Value::of(false));
    for (const auto& [name, value] : read_variables(given.variables)) {
      require(std::find(variables_.begin(), variables_.end(), name) != variables_.end(),
              "the chat template of this model has no variable '", name, "'");
      variables.set(name, value);
    }
    for (const auto& [name, text] : tokens_) variables.set(name, jinja::Value::text(text));
    jinja::List messages;
    Authors authors(turns);
    size_t images = 0;
    for (size_t i = 0; i < turns.size(); ++i) {
      messages.push_back(message_of(turns[i], role_of(turns[i], i), authors, forms));
      images += turns[i].parts.size() - texts_of(turns[i]);
    }
    variables.set("messages", jinja::Value::of(messages));
    variables.set("add_generation_prompt", jinja::Value::of(end == ChatEnd::new_turn));
    variables.set("tools", array_of(given.tools, "tools"));
    variables.set("documents", jinja::Value::none());
    MarkedText rendered = template_.render(variables);
    check_loss(turns, messages, rendered, loss);
    if (end == ChatEnd::inside_last) rendered = up_to_last(rendered, turns);
    ChatText chat{"", rendered.typed_ranges(), find_images(rendered)};
    require(chat.images.size() == images, "the chat template places ", chat.images.size(), " images of the ",
            images, " in this conversation");
    chat.text = std::move(rendered.text);
    return chat;
  }

  jinja::Value message_of(const ChatTurn& turn, size_t role, Authors& authors, const Forms& forms) const {
    auto message = std::make_shared<jinja::Dict>();
    message->set("role", jinja::Value::text(name_of_role(role)));
    const RoleForms& form = has_images(turn)        ? forms.of_images
                            : turn.parts.size() > 1 ? forms.of_parts
                                                    : forms.of_text;
    const bool in_parts = role != kToolRole && form[role] == Form::parts;
    message->set("content", in_parts ? parts_of(turn, authors) : joined(turn, authors));
    message->watched = "content";
    if (!turn.tool_calls.empty()) message->set("tool_calls", array_of(turn.tool_calls, "calls of tools"));
    if (!turn.tool_call_id.empty()) {
      message->set("tool_call_id", jinja::Value::text(turn.tool_call_id, kUserVariable));
    }
    // Templates differ in the name by which they read thoughts.
    for (const char* name : {"reasoning_content", "reasoning"}) {
      if (!turn.thoughts.empty()) message->set(name, jinja::Value::text(turn.thoughts, kUserVariable));
    }
    if (!turn.name.empty()) message->set("name", jinja::Value::text(turn.name, kUserVariable));
    return jinja::Value::of(std::move(message));
  }

  // Parts are joined by newlines, as LLaVA and MiniCPM-V do.
  jinja::Value joined(const ChatTurn& turn, Authors& authors) const {
    MarkedText content;
    for (size_t i = 0; i < turn.parts.size(); ++i) {
      if (i > 0) content.append("\n");
      turn.parts[i].image ? content.append(image_mark_) : content.append(turn.parts[i].text, authors.next());
    }
    return jinja::Value::of(std::move(content));
  }

  static jinja::Value parts_of(const ChatTurn& turn, Authors& authors) {
    jinja::List list;
    for (const ChatPart& part : turn.parts) {
      auto dict = std::make_shared<jinja::Dict>();
      dict->set("type", jinja::Value::text(part.image ? "image" : "text"));
      if (!part.image) dict->set("text", jinja::Value::text(part.text, authors.next()));
      list.push_back(jinja::Value::of(std::move(dict)));
    }
    return jinja::Value::of(std::move(list));
  }

  // Checks that typed text stands in the rendering, and not as a part of a printed list. Thoughts may be left
  // out of an assistant's text.
  static void check_loss(const std::vector<ChatTurn>& turns, const jinja::List& messages,
                         const MarkedText& rendered, Loss loss) {
    std::array<int64_t, 256> there{};
    for (size_t i = 0; i < rendered.size(); ++i) {
      if (is_visible(rendered.text, i)) ++there[rendered.author(i)];
    }
    there[kUserVariable] = 0;
    const bool empty =
        std::all_of(there.begin() + 1, there.end() - 1, [](int64_t count) { return count == 0; });
    Authors authors(turns);
    for (size_t i = 0; i < turns.size(); ++i) {
      const bool looked_at = loss == Loss::of_anything || empty || messages[i].dict->was_read;
      for (const ChatPart& part : turns[i].parts) {
        if (part.image) continue;
        int64_t& left = there[authors.next()];
        const bool thoughts = turns[i].role == "assistant" && part.text.find("</think>") != std::string::npos;
        if (!looked_at || thoughts) continue;
        const int64_t all = visible(part.text);
        left -= loss == Loss::of_anything ? all : std::min<int64_t>(all, 1);
        require(left >= 0, "the chat template of this model leaves out the text of messages[", i,
                "] or a part of it");
      }
    }
  }

  // Returns the text up to the end of the last message's last text: the text with which the template closes
  // its turn is cut off.
  static MarkedText up_to_last(const MarkedText& rendered, const std::vector<ChatTurn>& turns) {
    const ChatPart* part = turns.empty() || turns.back().parts.empty() ? nullptr : &turns.back().parts.back();
    const bool text = part != nullptr && !part->image && visible(part->text) > 0;
    const size_t last = text ? rendered.typed.rfind(static_cast<char>(kUserTypedLast)) : std::string::npos;
    require(last != std::string::npos, "the last message has no text to continue");
    return rendered.substr(0, last + 1);
  }

  // Marks of which no byte was typed by a user.
  std::vector<TextRange> find_images(const MarkedText& rendered) const {
    std::vector<TextRange> images;
    for (size_t at = rendered.text.find(image_mark_); at != std::string::npos;) {
      const size_t end = at + image_mark_.size();
      const size_t typed = rendered.typed.find_first_not_of('\0', at);
      if (typed >= end) {
        images.push_back({at, end});
        at = rendered.text.find(image_mark_, end);
      } else {
        at = rendered.text.find(image_mark_, at + 1);
      }
    }
    return images;
  }

  // The form in which most of some small conversations reach the prompt whole, text before parts. A template
  // that can write none of them would refuse every chat: an Error.
  void choose_forms() {
    size_t best = 0;
    for (unsigned choice = 0; choice < 1U << kRoles.size() && best < kBestScore; ++choice) {
      Forms forms;
      for (size_t role = 0; role < kRoles.size(); ++role) {
        forms.of_text[role] = (choice >> role & 1U) != 0 ? Form::parts : Form::text;
      }
      if (const size_t score = score_of(forms); score > best) {
        best = score;
        forms_ = forms;
      }
    }
    if (best == 0) render({user_turn()}, ChatEnd::new_turn, Given(), {}, Loss::of_what_is_read);
    for (size_t role = 0; role < kRoles.size(); ++role) {
      forms_.of_parts[role] = form_of(role, {{"two", false}, {"three", false}}, &Forms::of_parts);
      forms_.of_images[role] = form_of(role, {{"", true}, {"two", false}}, &Forms::of_images);
    }
  }

  // A form is known by the words with which the template asks for it.
  ToolForm find_tool_form(const std::string& source) const {
    const auto has = [&](std::string_view text) { return source.find(text) != std::string::npos; };
    const ToolForm form = has("<tool_call>")                          ? ToolForm::hermes
                          : has("ipython") && has("\"parameters\": ") ? ToolForm::llama3
                                                                      : ToolForm::none;
    if (form == ToolForm::none) return form;
    try {
      const ChatText shown =
          render({user_turn()}, ChatEnd::new_turn, {"", kProbedTool}, forms_, Loss::of_what_is_read);
      return shown.text.find("probed_tool") != std::string::npos ? form : ToolForm::none;
    } catch (const Error&) {
      return ToolForm::none;
    }
  }

  static ChatTurn user_turn() { return {"user", {{"one", false}}}; }

  // Scores four conversations. Those without any loss count most.
  static constexpr size_t kBestScore = 40;
  size_t score_of(const Forms& forms) const {
    const ChatTurn system{"system", {{"rule", false}}};
    const ChatTurn user = user_turn();
    const ChatTurn assistant{"assistant", {{"two", false}}};
    size_t score = 0;
    for (const auto& turns : std::initializer_list<std::vector<ChatTurn>>{
             {user}, {system, user}, {user, assistant, user}, {system, user, assistant, user}}) {
      score += renders(turns, forms, Loss::of_anything)       ? 10
               : renders(turns, forms, Loss::of_what_is_read) ? 1
                                                              : 0;
    }
    return score;
  }

  // Parts when the template can write them so.
  Form form_of(size_t role, const std::vector<ChatPart>& parts, RoleForms Forms::*of) const {
    Forms forms = forms_;
    (forms.*of)[role] = Form::parts;
    const ChatTurn turn{std::string(kRoles[role]), parts};
    const ChatTurn user = user_turn();
    for (const auto& turns :
         std::initializer_list<std::vector<ChatTurn>>{{turn}, {turn, user}, {user, turn, user}}) {
      if (renders(turns, forms, Loss::of_anything)) return Form::parts;
    }
    return forms_.of_text[role];
  }

  bool renders(const std::vector<ChatTurn>& turns, const Forms& forms, Loss loss) const {
    try {
      render(turns, ChatEnd::new_turn, Given(), forms, loss);
      return true;
    } catch (const Error& error) {
      // Small conversations in other forms would cost as much again, dozens of times.
      const std::string_view what = error.what();
      if (what.ends_with("it takes too many steps") || what.ends_with("it makes too much text")) throw;
      return false;
    }
  }

  JinjaTemplate template_;
  std::string image_mark_;
  std::vector<std::pair<std::string, std::string>> tokens_;
  ImageOrder order_;
  std::vector<std::string> variables_;
  bool thinks_;
  bool thoughtless_;
  ToolForm tools_ = ToolForm::none;
  Forms forms_;
};

boost::json::value read_if_there(const fs::path& path) {
  return is_there(path) ? read_json_file(path) : boost::json::value(nullptr);
}

// A template of its own, or one of several by name: then the one called "default".
std::string template_in(const boost::json::value& config, const std::string& where) {
  const auto* entry = json_member(config, "chat_template");
  if (entry == nullptr) return "";
  std::string source;
  if (!entry->is_array()) source = json_string(config, "chat_template", "", where);
  for (size_t i = 0; entry->is_array() && i < entry->get_array().size(); ++i) {
    const auto& one = entry->get_array()[i];
    const std::string name = json_string(one, "name", "", where);
    if (source.empty() || name == "default") source = json_string(one, "template", "", where);
  }
  if (source.empty()) log_warning("an empty chat template is left aside", "file", where);
  return source;
}

// An interrupted download leaves an empty file, which is no reason to talk in another model's way.
std::string read_template(const fs::path& file) {
  constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";
  std::string source = read_text_file(file, size_t{1} << 20);
  require(is_utf8(source), file.string(), " is not valid UTF-8");
  if (source.starts_with(kByteOrderMark)) source.erase(0, kByteOrderMark.size());
  require(!source.empty(), file.string(), " is empty: get it again, or remove it");
  return source;
}

std::string find_template(const fs::path& directory, const boost::json::value& tokenizer_config) {
  const fs::path file = directory / "chat_template.jinja";
  if (is_there(file)) return read_template(file);
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
  const bool minicpm = json_string(config, "model_type", "", where).starts_with("minicpm");
  const std::string_view image_mark = minicpm ? kMiniCpmImageMark : kImageMark;
  std::string name = json_string(config, "conversation", "", where);
  const bool llava = is_llava(config, where) || name == "vicuna_v1" || name == "llava_v1";
  const auto make = [&](const std::string& source) {
    // MiniCPM's own chat() passes enable_thinking = False.
    return std::make_shared<JinjaChatTemplate>(source, image_mark, tokens_of(directory, tokenizer_config),
                                               llava ? ImageOrder::first : ImageOrder::in_place, minicpm);
  };
  if (name.empty()) {
    const std::string source = find_template(directory, tokenizer_config);
    if (!source.empty()) return make(source);
    name = llava ? "vicuna_v1" : "chatml";
  }
  for (const Conversation& conversation : kConversations) {
    if (conversation.name == name) return make(source_of(conversation));
  }
  throw Error(where + ": conversation '" + name + "' is none of vicuna_v1, llava_v1, chatml_direct, chatml");
}

void put_images_first(std::vector<ChatTurn>& turns) {
  for (ChatTurn& turn : turns) {
    std::stable_partition(turn.parts.begin(), turn.parts.end(),
                          [](const ChatPart& part) { return part.image; });
  }
}

}  // namespace uhd
