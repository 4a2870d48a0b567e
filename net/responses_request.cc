#include "net/responses_request.h"

#include <algorithm>
#include <limits>

#include "base/error.h"
#include "net/json_fields.h"
#include "net/request_fields.h"

namespace uhd {
namespace {

namespace json = boost::json;

// The answer repeats these of its call, or says what holds without them.
constexpr std::pair<std::string_view, std::string_view> kRepeated[] = {
    {"instructions", "null"},
    {"max_output_tokens", "null"},
    {"metadata", "{}"},
    {"parallel_tool_calls", "true"},
    {"temperature", "null"},
    {"text", R"({"format":{"type":"text"}})"},
    {"tool_choice", R"("auto")"},
    {"tools", "[]"},
    {"top_p", "null"},
    {"user", "null"},
};

[[noreturn]] void refuse_missing(const std::string& path) {
  throw ApiError{400, message('\'', path, "' is missing."), path, "missing_required_parameter"};
}

std::string_view needed(const Fields& fields, std::string_view name) {
  const auto text = fields.string(name);
  if (!text) refuse_missing(fields.path(name));
  return *text;
}

// Gathers the messages of the chat, and where each came from.
class Input {
 public:
  Input(ChatForm& form, FieldCheck& known) : form_(form), known_(known) {}

  void add(json::object message, std::string origin) {
    form_.origins.emplace_back(element("messages", messages_.size()), std::move(origin));
    messages_.push_back(std::move(message));
  }

  void read(const json::value& input) {
    if (input.is_string()) return add({{"role", "user"}, {"content", input}}, "input");
    if (!input.is_array()) throw_bad_field("input", "a string or an array of items", input);
    const json::array& items = input.get_array();
    for (size_t i = 0; i < items.size(); ++i) read_item(items[i], element("input", i));
  }

  json::array take() { return std::move(messages_); }

 private:
  void read_item(const json::value& v, const std::string& path) {
    if (!v.is_object()) throw_bad_field(path, "an object", v);
    const Fields item(v.get_object(), path + ".");
    const std::string_view type = item.string("type").value_or("message");
    if (type == "reasoning") return read_thoughts(v.get_object(), item);
    if (type != "message" && type != "function_call" && type != "function_call_output") {
      throw_unsupported(item.path("type"),
                        "items are message, function_call, function_call_output and reasoning.");
    }
    known_.check(kInputItemFields, v.get_object(), path + ".");
    refuse_others_fields(item, type);
    if (type == "function_call") return add_call(item, path);
    const json::value* content = item.find(type == "message" ? "content" : "output");
    if (content == nullptr) refuse_missing(item.path(type == "message" ? "content" : "output"));
    json::object message{
        {"role", type == "message" ? needed(item, "role") : std::string_view("tool")},
        {"content", read_content(*content, item.path(type == "message" ? "content" : "output"))}};
    if (type == "function_call_output") message["tool_call_id"] = needed(item, "call_id");
    const bool answers = message.at("role") == "assistant";
    add(std::move(message), path);
    answers ? add_thoughts() : thoughts_.clear();
  }

  static void refuse_others_fields(const Fields& item, std::string_view type) {
    constexpr std::string_view kOfMessages[] = {"role", "content"}, kOfCalls[] = {"name", "arguments"};
    std::vector<std::string_view> others;
    if (type != "message") others.insert(others.end(), std::begin(kOfMessages), std::end(kOfMessages));
    if (type != "function_call") others.insert(others.end(), std::begin(kOfCalls), std::end(kOfCalls));
    if (type != "function_call_output") others.emplace_back("output");
    if (type == "message") others.emplace_back("call_id");
    for (const std::string_view name : others) {
      if (item.find(name) != nullptr)
        throw_unsupported(item.path(name), "it belongs to another kind of item.");
    }
  }

  // Thoughts belong to the assistant's turn after them. A summary is none: the model never wrote it.
  void read_thoughts(const json::object& members, const Fields& item) {
    constexpr std::string_view kTaken[] = {"type", "id", "status", "summary", "content"};
    for (const auto& [name, value] : members) {
      if (!value.is_null() && std::ranges::find(kTaken, std::string_view(name)) == std::end(kTaken))
        throw_unsupported(item.path(name), "thoughts are read as the text of 'content' alone.");
    }
    const json::array* parts = item.array("content");
    for (size_t i = 0; parts != nullptr && i < parts->size(); ++i) {
      const std::string path = element(item.path("content"), i);
      if (!(*parts)[i].is_object()) throw_bad_field(path, "an object", (*parts)[i]);
      thoughts_ += needed(Fields((*parts)[i].get_object(), path + "."), "text");
    }
    thoughts_path_ = item.path("content");
  }

  void add_thoughts() {
    if (thoughts_.empty()) return;
    messages_.back().get_object()["reasoning_content"] = thoughts_;
    form_.origins.emplace_back(element("messages", messages_.size() - 1) + ".reasoning_content",
                               thoughts_path_);
    thoughts_.clear();
  }

  // Calls belong to the assistant's turn before them, if no thoughts stand between.
  void add_call(const Fields& item, const std::string& path) {
    const json::object call{
        {"id", needed(item, "call_id")},
        {"type", "function"},
        {"function", json::object{{"name", needed(item, "name")}, {"arguments", needed(item, "arguments")}}}};
    const bool joins = !messages_.empty() && messages_.back().at("role") == "assistant" && thoughts_.empty();
    if (!joins) add({{"role", "assistant"}, {"content", nullptr}}, path);
    add_thoughts();
    json::object& turn = messages_.back().get_object();
    if (!turn.contains("tool_calls")) turn["tool_calls"] = json::array();
    json::array& calls = turn["tool_calls"].get_array();
    const std::string place = element("messages", messages_.size() - 1) + ".tool_calls";
    form_.origins.emplace_back(element(place, calls.size()), path);
    calls.push_back(call);
  }

  json::value read_content(const json::value& content, const std::string& path) {
    if (content.is_string()) return content;
    if (!content.is_array()) throw_bad_field(path, "a string or an array of parts", content);
    json::array parts;
    for (size_t i = 0; i < content.get_array().size(); ++i) {
      parts.push_back(read_part(content.get_array()[i], element(path, i)));
    }
    return parts;
  }

  json::object read_part(const json::value& v, const std::string& path) {
    if (!v.is_object()) throw_bad_field(path, "an object", v);
    const Fields part(v.get_object(), path + ".");
    const std::string_view type = part.string("type").value_or("");
    if (type != "input_text" && type != "output_text" && type != "refusal" && type != "input_image") {
      throw_unsupported(part.path("type"), "parts are input_text, input_image, output_text and refusal.");
    }
    known_.check(kInputPartFields, v.get_object(), path + ".");
    if (type == "refusal") return {{"type", "refusal"}, {"refusal", needed(part, "refusal")}};
    if (type != "input_image") return {{"type", "text"}, {"text", needed(part, "text")}};
    json::object url{{"url", needed(part, "image_url")}};
    for (const char* name : {"detail", "max_slices"}) {
      if (const json::value* value = part.find(name)) url[name] = *value;
    }
    return {{"type", "image_url"}, {"image_url", std::move(url)}};
  }

  ChatForm& form_;
  FieldCheck& known_;
  json::array messages_;
  std::string thoughts_;  // of the item before, if it has some
  std::string thoughts_path_;
};

// Tools and the chosen one stand flat here.
json::object nested_function(const json::object& flat) {
  json::object function = flat;
  function.stable_erase("type");
  return {{"type", "function"}, {"function", std::move(function)}};
}

json::array read_flat_tools(const json::array& tools, FieldCheck& known) {
  json::array out;
  for (size_t i = 0; i < tools.size(); ++i) {
    const std::string path = element("tools", i);
    if (!tools[i].is_object()) throw_bad_field(path, "an object", tools[i]);
    const json::object& tool = tools[i].get_object();
    if (Fields(tool, path + ".").string("type") != "function") {
      throw_unsupported(path + ".type", "tools are functions here.");
    }
    known.check(kFlatToolFields, tool, path + ".");
    out.push_back(nested_function(tool));
  }
  return out;
}

// "text": the format of the answer's text.
void read_format(const json::object& text, FieldCheck& known, json::object& chat) {
  known.check(kTextFields, text, "text.");
  const json::object* format = Fields(text, "text.").object("format");
  if (format == nullptr) return;
  known.check(kTextFormatFields, *format, "text.format.");
  const Fields fields(*format, "text.format.");
  const std::string_view type = needed(fields, "type");
  const json::object* schema = fields.object("schema");
  if (type != "text" && type != "json_object" && type != "json_schema") {
    throw ApiError{400, "'text.format.type' must be text, json_object or json_schema.", "text.format.type",
                   "invalid_value"};
  }
  if (type == "json_schema" && schema == nullptr) refuse_missing("text.format.schema");
  if (type == "json_schema") {
    chat["response_format"] =
        json::object{{"type", type}, {"json_schema", json::object{{"schema", *schema}}}};
  } else {
    chat["response_format"] = json::object{{"type", type}};
  }
}

void replace_prefix(std::string& text, const std::string& from, const std::string& to) {
  const size_t at = text.find(from);
  if (at != std::string::npos) text.replace(at, from.size(), to);
}

}  // namespace

ApiError ChatForm::told(ApiError error) const {
  std::vector<std::pair<std::string, std::string>> names(origins.rbegin(), origins.rend());
  // Inner paths first, as they are written in the chat's form.
  names.insert(names.end(), {{"response_format.json_schema", "text.format"},
                             {"response_format", "text.format"},
                             {"max_completion_tokens", "max_output_tokens"},
                             {"'messages'", "'input'"}});
  for (const auto& [from, to] : names) {
    replace_prefix(error.message, from, to);
    if (error.param.starts_with(from)) error.param.replace(0, from.size(), to);
  }
  if (error.param == "messages") error.param = "input";
  for (std::string* text : {&error.message, &error.param}) {
    if (error.param.starts_with("tools[") || error.param.starts_with("tool_choice") ||
        error.param.find(".function.arguments") != std::string::npos ||
        error.param.find(".function.name") != std::string::npos) {
      replace_prefix(*text, ".function", "");
    }
    replace_prefix(*text, ".image_url.url", ".image_url");
    replace_prefix(*text, ".image_url.", ".");
  }
  return error;
}

ChatForm chat_of_responses(const json::object& call, FieldCheck& known) {
  const Fields fields(call, "");
  ChatForm form;
  Input input(form, known);
  if (const auto text = fields.string("instructions")) {
    input.add({{"role", "system"}, {"content", *text}}, "instructions");
  }
  const json::value* asked = fields.find("input");
  if (asked == nullptr) refuse_missing("input");
  input.read(*asked);
  // Fields of both forms go as they are; one of chats alone is unknown here.
  for (const auto& [name, value] : call) {
    const RequestField* in_chat = find_request_field(kChatFields, name);
    const bool known_here = find_request_field(kResponsesFields, name) != nullptr;
    if (known_here && in_chat != nullptr && in_chat->use == FieldUse::honoured) form.chat[name] = value;
  }
  form.chat["messages"] = input.take();
  if (const auto most = fields.integer("max_output_tokens", 1, std::numeric_limits<int32_t>::max())) {
    form.chat["max_completion_tokens"] = *most;
  }
  if (const json::object* text = fields.object("text")) read_format(*text, known, form.chat);
  if (const json::array* tools = fields.array("tools")) form.chat["tools"] = read_flat_tools(*tools, known);
  if (const json::value* choice = fields.find("tool_choice"); choice != nullptr && choice->is_object()) {
    form.chat["tool_choice"] = nested_function(choice->get_object());
    if (Fields(choice->get_object(), "tool_choice.").string("type") != "function") {
      throw_unsupported("tool_choice.type", "a function is chosen here.");
    }
  }
  form.chat.erase("stream_options");
  json::object echo;
  for (const auto& [name, unsaid] : kRepeated) {
    const json::value* value = fields.find(name);
    echo[name] = value != nullptr ? *value : json::parse(unsaid);
  }
  form.echo = json::serialize(echo);
  return form;
}

}  // namespace uhd
