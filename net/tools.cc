#include "net/tools.h"

#include <algorithm>
#include <array>

#include "base/error.h"
#include "net/messages.h"
#include "net/schema_check.h"
#include "net/tool_calls.h"

namespace uhd {
namespace {

namespace json = boost::json;

constexpr size_t kMostTools = 128;
constexpr size_t kLongestFunctionName = 64;
constexpr int kMostSpaces = 2;         // in a run of white space within the arguments of a held call
constexpr int kMostSpacesInText = 32;  // in one within an answer that is no call, as without tools

struct Tool {
  std::string name;
  json::object parameters;  // a schema
  std::string path;
  bool strict = false;  // the arguments have their schema
};

[[noreturn]] void refuse_value(const std::string& path, std::string_view text) {
  throw ApiError{400, message('\'', path, "' ", text), path, "invalid_value"};
}

// A name stands in the prompt and in grammars.
std::string read_name(const Fields& function) {
  const std::string path = function.path("name");
  const auto name = function.string("name");
  if (!name) throw ApiError{400, message('\'', path, "' is missing."), path, "missing_required_parameter"};
  const bool plain = std::all_of(name->begin(), name->end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.';
  });
  if (name->empty() || name->size() > kLongestFunctionName || !plain) {
    refuse_value(path, message("must be 1 to ", kLongestFunctionName, " letters, digits, '_', '-' or '.'."));
  }
  return std::string(*name);
}

const json::object& function_of(const json::value& v, FieldObject kind, const std::string& path,
                                FieldCheck& known) {
  if (!v.is_object()) throw_bad_field(path, "an object", v);
  const Fields fields(v.get_object(), path + ".");
  if (fields.string("type").value_or("function") != "function") {  // one of another type has other fields
    throw_unsupported(path + ".type", "only functions are taken here.");
  }
  known.check(kind, v.get_object(), path + ".");
  const json::object* function = fields.object("function");
  if (function == nullptr) {
    throw ApiError{400, message('\'', path, ".function' is missing."), path + ".function",
                   "missing_required_parameter"};
  }
  return *function;
}

Tool read_tool(const json::value& v, const std::string& path, FieldCheck& known) {
  const json::object& function = function_of(v, kToolFields, path, known);
  known.check(kFunctionFields, function, path + ".function.");
  const Fields fields(function, path + ".function.");
  Tool tool{read_name(fields), {{"type", "object"}, {"properties", json::object()}}, path};
  fields.string("description");  // of the right type, as the template prints it
  if (const json::object* parameters = fields.object("parameters")) tool.parameters = *parameters;
  tool.strict = fields.boolean("strict").value_or(false);
  return tool;
}

// The tools as the model is shown them: a client's wish for the answer's form is no part of them.
std::string shown(const json::array& list) {
  json::array tools = list;
  for (json::value& tool : tools) tool.at("function").as_object().stable_erase("strict");
  return json::serialize(tools);
}

// Returns the tools that the answer must call: all, or the one named. If it need not call any, there are
// none.
std::vector<Tool> read_choice(const Fields& call, std::vector<Tool> tools, bool& none, FieldCheck& known) {
  const json::value* choice = call.find("tool_choice");
  if (choice == nullptr) return {};
  if (choice->is_string()) {
    const std::string_view word = to_text(*choice, "tool_choice");
    none = word == "none";
    if (none || word == "auto") return {};
    if (word != "required") refuse_value("tool_choice", "must be none, auto, required, or name a function.");
    if (tools.empty()) refuse_value("tool_choice", "needs 'tools'.");
    return tools;
  }
  if (!choice->is_object()) throw_bad_field("tool_choice", "a string or an object", *choice);
  const json::object& function = function_of(*choice, kToolFields, "tool_choice", known);
  known.check(kChosenFields, function, "tool_choice.function.");
  const std::string name = read_name(Fields(function, "tool_choice.function."));
  const auto found = std::ranges::find_if(tools, [&](const Tool& tool) { return tool.name == name; });
  if (found == tools.end()) refuse_value("tool_choice.function.name", "is none of the 'tools'.");
  return {*found};
}

const json::object& any_object() {
  static const json::object schema{{"type", "object"}, {"additionalProperties", true}};
  return schema;
}

// Arguments are an object where the schema leaves it open.
json::object schema_of(const Tool& tool) {
  if (!tool.strict) return any_object();
  const std::string path = tool.path + ".function.parameters";
  json::object schema = tool.parameters;
  check_schema(schema, path);
  const json::value* type = schema.if_contains("type");
  if (type != nullptr && *type != json::value("object")) refuse_value(path + ".type", "must be object.");
  const auto has = [&](const char* name) { return schema.contains(name); };
  if (std::ranges::none_of(std::array{"type", "$ref", "anyOf", "oneOf", "allOf"}, has)) {
    schema["type"] = "object";
  }
  return schema;
}

json::object schema_format(json::value schema, int spaces) {
  return {{"type", "json_schema"}, {"json_schema", std::move(schema)}, {"max_whitespace_cnt", spaces}};
}

json::object tag_of(const Tool& tool, std::string begin, std::string_view end) {
  return {{"type", "tag"},
          {"begin", std::move(begin)},
          {"content", schema_format(schema_of(tool), kMostSpaces)},
          {"end", end}};
}

json::array tags_of(const std::vector<Tool>& tools, ToolForm form) {
  const bool hermes = form == ToolForm::hermes;
  json::array tags;
  for (const Tool& tool : tools) {
    tags.push_back(tag_of(tool, message(hermes ? "<tool_call>\n{" : "{", call_header(form, tool.name)),
                          hermes ? "}\n</tool_call>" : "}"));
  }
  return tags;
}

GrammarSpec spec_of(json::object format) {
  return {GrammarKind::structural_tag,
          json::serialize(json::object{{"type", "structural_tag"}, {"format", std::move(format)}})};
}

// Calls as a format of XGrammar's structural tag: what stands around the arguments is fixed. Llama's template
// takes one call at a time.
json::object calls_alone(const std::vector<Tool>& tools, ToolForm form, bool parallel) {
  return {{"type", "tags_with_separator"},
          {"tags", tags_of(tools, form)},
          {"separator", "\n"},
          {"at_least_one", true},
          {"stop_after_first", !(form == ToolForm::hermes && parallel)}};
}

// A text of any kind, with calls in it. Hermes' mark begins a call; Llama's, which have none, are held from
// their names on.
json::object calls_in_text(const std::vector<Tool>& tools, ToolForm form, bool parallel) {
  const bool hermes = form == ToolForm::hermes;
  json::array triggers, tags;
  if (hermes) {
    triggers.push_back("<tool_call>");
    tags = tags_of(tools, form);
  }
  for (const Tool& tool : tools) {
    if (hermes || !tool.strict) continue;
    const std::string header = call_header(form, tool.name);
    triggers.push_back(json::string(header));
    tags.push_back(tag_of(tool, header, "}"));
  }
  return {{"type", "triggered_tags"},
          {"triggers", std::move(triggers)},
          {"tags", std::move(tags)},
          {"stop_after_first", !parallel}};
}

// A rule for an answer that is no call, as a format beside calls.
json::value text_format(const AnswerRule& text) {
  switch (text.grammar.kind) {
    case GrammarKind::json_object:
      return schema_format(any_object(), kMostSpacesInText);
    case GrammarKind::json_schema:
      return schema_format(json::parse(text.grammar.text), kMostSpacesInText);
    case GrammarKind::regex:
      return json::object{{"type", "regex"}, {"pattern", text.grammar.text}};
    case GrammarKind::ebnf:
      return json::object{{"type", "grammar"}, {"grammar", text.grammar.text}};
    case GrammarKind::structural_tag:
      break;
  }
  const json::value tag = json::parse(text.grammar.text);
  const json::value* format = tag.get_object().if_contains("format");
  if (format == nullptr) refuse_value(text.field, "has no 'format', which it needs beside 'tools'.");
  return *format;
}

}  // namespace

ToolUse read_tools(const Fields& call, const ModelInfo& model, FieldCheck& known,
                   std::optional<AnswerRule> text) {
  ToolUse use;
  use.parallel = call.boolean("parallel_tool_calls").value_or(true);
  const json::array* list = call.array("tools");
  std::vector<Tool> tools;
  if (list != nullptr && list->size() > kMostTools) {
    refuse_value("tools", message("holds more than ", kMostTools, " tools."));
  }
  for (size_t i = 0; list != nullptr && i < list->size(); ++i) {
    tools.push_back(read_tool((*list)[i], element("tools", i), known));
  }
  if (!tools.empty() && model.tools == ToolForm::none) {
    throw_unsupported("tools", "the chat template of this model knows no tools.");
  }
  bool none = false;
  std::vector<Tool> must = read_choice(call, tools, none, known);
  if (tools.empty() || none) {
    use.rule = std::move(text);
    return use;
  }
  use.tools = shown(*list);
  use.may_call = true;
  for (const Tool& tool : tools) use.names.push_back(tool.name);
  for (Tool& tool : must) tool.strict = true;
  const auto strict = std::ranges::find_if(tools, &Tool::strict);
  if (!must.empty()) {
    use.rule = {spec_of(calls_alone(must, model.tools, use.parallel)), "tool_choice"};
  } else if (text) {
    // An object of the text's rule may look like a call there.
    if (strict != tools.end() && model.tools == ToolForm::llama3) {
      throw_unsupported(strict->path + ".function.strict",
                        message("calls of this model have no marks, so that beside '", text->field,
                                "' nothing would hold their arguments."));
    }
    json::array elements{calls_alone(tools, model.tools, use.parallel), text_format(*text)};
    use.held = use.names;
    use.rule = {spec_of({{"type", "or"}, {"elements", std::move(elements)}}), text->field};
  } else if (strict != tools.end()) {
    for (const Tool& tool : tools) {
      if (tool.strict) use.held.push_back(tool.name);
    }
    use.rule = {spec_of(calls_in_text(tools, model.tools, use.parallel)), strict->path + ".function.strict"};
  }
  return use;
}

std::string read_tool_calls(const Fields& message_fields, const ModelInfo& model, FieldCheck& known) {
  const std::string path = message_fields.path("tool_calls");
  const json::array* calls = message_fields.array("tool_calls");
  if (calls == nullptr || calls->empty()) return "";
  json::array out;
  for (size_t i = 0; i < calls->size(); ++i) {
    const std::string at = element(path, i);
    const json::object& function = function_of((*calls)[i], kToolCallFields, at, known);
    known.check(kCalledFields, function, at + ".function.");
    const Fields fields(function, at + ".function.");
    const std::string name = read_name(fields);
    const std::string_view text = fields.string("arguments").value_or("");
    check_text_bytes(text.size(), model, at + ".function.arguments");
    json::object arguments = known.object_in_text(text.empty() ? "{}" : text, at + ".function.arguments");
    json::object one{{"type", "function"},
                     {"function", json::object{{"name", name}, {"arguments", std::move(arguments)}}}};
    if (const auto id = Fields((*calls)[i].get_object(), at + ".").string("id")) one["id"] = *id;
    out.push_back(std::move(one));
  }
  return json::serialize(out);
}

}  // namespace uhd
