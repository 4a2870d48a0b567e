#include "net/structured.h"

#include "base/error.h"
#include "engine/request_limits.h"
#include "net/schema_check.h"

namespace uhd {
namespace {

namespace json = boost::json;

[[noreturn]] void refuse(const std::string& path, std::string_view text) {
  throw ApiError{400, message('\'', path, "' ", text), path, "invalid_value"};
}

// Gathers the one rule that a call may have for its answer.
class Rule {
 public:
  void set(GrammarKind kind, std::string text, const std::string& path) {
    if (rule_) {
      refuse(path, message("is a second rule for the answer, beside '", rule_->field, "'; one is taken."));
    }
    if (text.size() > request_limits::kLongestGrammar) {
      refuse(path, message("has more than ", request_limits::kLongestGrammar, " bytes."));
    }
    rule_ = AnswerRule{{kind, std::move(text)}, path};
  }
  std::optional<AnswerRule> take() { return std::move(rule_); }

 private:
  std::optional<AnswerRule> rule_;
};

// JSON as an object, or as a text that holds one.
std::string object_text(const json::value& v, GrammarKind kind, const std::string& path) {
  const bool schema = kind == GrammarKind::json_schema;
  if (v.is_object()) {
    if (schema) check_schema(v.get_object(), path);
    return json::serialize(v);
  }
  if (!v.is_string()) throw_bad_field(path, "an object, or a text that holds one", v);
  const std::string_view text = to_text(v, path);
  if (text.size() > request_limits::kLongestGrammar) return std::string(text);  // refused by its size
  json::error_code failed;
  const json::value parsed = json::parse(text, failed);
  if (failed || !parsed.is_object()) refuse(path, "is a text that does not hold a JSON object.");
  if (schema) check_schema(parsed.get_object(), path);
  return std::string(text);
}

// Texts as elements of XGrammar's structural tag, which needs no escapes but JSON's.
std::string choice_text(const json::array& choices, const std::string& path) {
  if (choices.empty()) refuse(path, "has nothing to choose.");
  if (choices.size() > request_limits::kMostChoices) {
    refuse(path, message("holds more than ", request_limits::kMostChoices, " texts."));
  }
  json::array elements;
  for (size_t i = 0; i < choices.size(); ++i) {
    const std::string at = element(path, i);
    const std::string_view text = to_text(choices[i], at);
    if (text.empty()) refuse(at, "is empty.");
    elements.push_back(json::object{{"type", "const_string"}, {"value", text}});
  }
  json::object one_of{{"type", "or"}, {"elements", std::move(elements)}};
  return json::serialize(json::object{{"type", "structural_tag"}, {"format", std::move(one_of)}});
}

void read_json(const Fields& fields, std::string_view name, GrammarKind kind, Rule& rule) {
  const std::string path = fields.path(name);
  if (const json::value* v = fields.find(name)) rule.set(kind, object_text(*v, kind, path), path);
}

void read_text(const Fields& fields, std::string_view name, GrammarKind kind, Rule& rule) {
  const auto text = fields.string(name);
  if (!text) return;
  if (text->empty()) refuse(fields.path(name), "is empty.");
  rule.set(kind, std::string(*text), fields.path(name));
}

void read_choice(const Fields& fields, std::string_view name, Rule& rule) {
  const std::string path = fields.path(name);
  const json::array* choices = fields.array(name);
  if (choices != nullptr) rule.set(GrammarKind::structural_tag, choice_text(*choices, path), path);
}

void read_json_schema(const json::object& object, FieldCheck& known, Rule& rule) {
  const std::string path = "response_format.json_schema.";
  known.check(kJsonSchemaFields, object, path);
  const json::object* schema = Fields(object, path).object("schema");
  if (schema == nullptr) {
    throw ApiError{400, "'response_format.json_schema.schema' is missing.", path + "schema",
                   "missing_required_parameter"};
  }
  rule.set(GrammarKind::json_schema,
           object_text(json::value(*schema), GrammarKind::json_schema, path + "schema"), path + "schema");
}

void read_response_format(const json::object& object, FieldCheck& known, Rule& rule) {
  known.check(kResponseFormatFields, object, "response_format.");
  const Fields format(object, "response_format.");
  const std::string_view type = format.string("type").value_or("text");
  const json::object* schema = format.object("schema");  // llama.cpp's place for it
  const json::object* named = format.object("json_schema");
  if (type == "json_schema" && named != nullptr) {
    if (schema != nullptr) refuse("response_format.schema", "stands beside 'response_format.json_schema'.");
    return read_json_schema(*named, known, rule);
  }
  if ((type == "json_schema" || type == "json_object") && schema != nullptr) {
    const std::string path = "response_format.schema";
    return rule.set(GrammarKind::json_schema,
                    object_text(json::value(*schema), GrammarKind::json_schema, path), path);
  }
  if (type == "json_object") return rule.set(GrammarKind::json_object, "", "response_format");
  if (type == "json_schema") {
    throw ApiError{400, "'response_format.json_schema' is missing.", "response_format.json_schema",
                   "missing_required_parameter"};
  }
  if (type == "text" && (schema != nullptr || named != nullptr)) {
    refuse(named != nullptr ? "response_format.json_schema" : "response_format.schema",
           "needs the type json_schema.");
  }
  if (type != "text") refuse("response_format.type", "must be text, json_object or json_schema.");
}

void read_structured_outputs(const json::object& object, FieldCheck& known, Rule& rule) {
  known.check(kStructuredFields, object, "structured_outputs.");
  const Fields fields(object, "structured_outputs.");
  read_json(fields, "json", GrammarKind::json_schema, rule);
  read_json(fields, "structural_tag", GrammarKind::structural_tag, rule);
  read_text(fields, "regex", GrammarKind::regex, rule);
  read_text(fields, "grammar", GrammarKind::ebnf, rule);
  read_choice(fields, "choice", rule);
  if (fields.boolean("json_object").value_or(false)) {
    rule.set(GrammarKind::json_object, "", "structured_outputs.json_object");
  }
}

}  // namespace

std::optional<AnswerRule> read_rule(const Fields& call, FieldCheck& known) {
  Rule rule;
  if (const json::object* format = call.object("response_format")) read_response_format(*format, known, rule);
  if (const json::object* outputs = call.object("structured_outputs")) {
    read_structured_outputs(*outputs, known, rule);
  }
  for (const char* name : {"json_schema", "guided_json"})
    read_json(call, name, GrammarKind::json_schema, rule);
  read_json(call, "structural_tag", GrammarKind::structural_tag, rule);
  for (const char* name : {"regex", "guided_regex"}) read_text(call, name, GrammarKind::regex, rule);
  for (const char* name : {"grammar", "ebnf", "guided_grammar"})
    read_text(call, name, GrammarKind::ebnf, rule);
  read_choice(call, "guided_choice", rule);
  return rule.take();
}

}  // namespace uhd
