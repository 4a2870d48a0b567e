#include "net/tools.h"

#include <algorithm>

#include "base/error.h"
#include "net/messages.h"
#include "net/schema_check.h"

namespace uhd {
namespace {

namespace json = boost::json;

constexpr size_t kMostTools = 128;
constexpr size_t kLongestFunctionName = 64;
constexpr int kMostSpaces = 2;  // in a run of white space within the arguments of a required call

struct Tool {
  std::string name;
  json::object parameters;  // a schema
  std::string path;
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
  known.check(kind, v.get_object(), path + ".");
  const Fields fields(v.get_object(), path + ".");
  if (fields.string("type").value_or("function") != "function") {
    throw_unsupported(path + ".type", "tools are functions here.");
  }
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
  return tool;
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

// Calls as XGrammar's structural tag: what stands around the arguments is fixed, and they have their schema.
GrammarSpec grammar_of(const std::vector<Tool>& tools, ToolForm form, bool parallel) {
  const bool hermes = form == ToolForm::hermes;
  json::array tags;
  for (const Tool& tool : tools) {
    check_schema(tool.parameters, tool.path + ".function.parameters");
    const std::string begin = hermes ? message("<tool_call>\n{\"name\": \"", tool.name, "\", \"arguments\": ")
                                     : message("{\"name\": \"", tool.name, "\", \"parameters\": ");
    tags.push_back(json::object{{"type", "tag"},
                                {"begin", begin},
                                {"content", json::object{{"type", "json_schema"},
                                                         {"json_schema", tool.parameters},
                                                         {"max_whitespace_cnt", kMostSpaces}}},
                                {"end", hermes ? "}\n</tool_call>" : "}"}});
  }
  // Llama's template takes one call at a time.
  const json::object calls{{"type", "tags_with_separator"},
                           {"tags", std::move(tags)},
                           {"separator", "\n"},
                           {"at_least_one", true},
                           {"stop_after_first", !(hermes && parallel)}};
  return {GrammarKind::structural_tag,
          json::serialize(json::object{{"type", "structural_tag"}, {"format", calls}})};
}

}  // namespace

ToolUse read_tools(const Fields& call, const ModelInfo& model, FieldCheck& known) {
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
  const std::vector<Tool> must = read_choice(call, tools, none, known);
  if (tools.empty() || none) return use;
  use.tools = json::serialize(*list);
  use.may_call = true;
  for (const Tool& tool : tools) use.names.push_back(tool.name);
  if (!must.empty()) use.grammar = grammar_of(must, model.tools, use.parallel);
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
