#include "net/openapi_rules.h"

#include <string>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "engine/request_limits.h"

namespace uhd {
namespace {

namespace json = boost::json;
namespace limits = request_limits;

constexpr uint32_t kTalks = kChatFields | kPlanFields | kTokenizeFields;
constexpr uint32_t kAnswered = kChatFields | kPlanFields | kCompletionsFields | kResponsesFields;

// Keywords of a field, whatever the model. A keyword says nothing about a value of another type.
struct FieldRule {
  uint32_t objects;
  std::string_view name;
  std::string_view keywords;  // JSON
};
constexpr FieldRule kFieldRules[] = {
    {kAnswered, "top_k", R"({"minimum":-1,"maximum":2147483647})"},
    {kAnswered, "seed", R"({"minimum":-9223372036854775808,"maximum":9223372036854775807})"},
    {kAnswered, "timeout", R"({"exclusiveMinimum":0,"maximum":1000000})"},
    {kAnswered, "min_tokens", R"({"minimum":0,"maximum":2147483647})"},
    {kChatFields | kPlanFields, "max_tokens", R"({"minimum":1,"maximum":2147483647})"},
    {kChatFields | kPlanFields, "max_completion_tokens", R"({"minimum":1,"maximum":2147483647})"},
    {kCompletionsFields, "max_tokens", R"({"minimum":0,"maximum":2147483647})"},
    {kCompletionsFields, "max_completion_tokens", R"({"minimum":0,"maximum":2147483647})"},
    {kResponsesFields, "max_output_tokens", R"({"minimum":1,"maximum":2147483647})"},
    {kAnswered, "truncate_prompt_tokens", R"({"minimum":-1,"maximum":2147483647,"not":{"const":0}})"},
    {kAnswered, "best_of", R"({"minimum":1,"maximum":2147483647})"},
    {kAnswered | kStructuredFields, "choice", R"({"minItems":1,"items":{"type":"string","minLength":1}})"},
    {kAnswered, "guided_choice", R"({"minItems":1,"items":{"type":"string","minLength":1}})"},
    {kAnswered | kStructuredFields, "regex", R"({"minLength":1,"format":"xgrammar-regex"})"},
    {kAnswered, "guided_regex", R"({"minLength":1,"format":"xgrammar-regex"})"},
    {kAnswered | kStructuredFields, "grammar", R"({"minLength":1,"format":"ebnf"})"},
    {kAnswered, "ebnf", R"({"minLength":1,"format":"ebnf"})"},
    {kAnswered, "guided_grammar", R"({"minLength":1,"format":"ebnf"})"},
    {kAnswered, "json_schema", R"({"format":"json-object"})"},
    {kAnswered, "guided_json", R"({"format":"json-object"})"},
    {kStructuredFields, "json", R"({"format":"json-object"})"},
    {kAnswered | kStructuredFields, "structural_tag",
     R"({"format":"structural-tag","required":["type","format"],
"properties":{"type":{"const":"structural_tag"},"format":{"type":"object"}}})"},
    {kImageUrlFields, "url", R"({"format":"image-url"})"},
    {kImageUrlFields | kSizePartFields, "detail", R"({"enum":["low","high","auto"]})"},
    {kImageUrlFields | kSizePartFields, "max_slices", R"({"minimum":1,"maximum":2147483647})"},
    {kSizePartFields, "width", R"({"minimum":1,"maximum":32768})"},
    {kSizePartFields, "height", R"({"minimum":1,"maximum":32768})"},
    {kTalks, "messages", R"({"minItems":1})"},
    {kTextPartFields, "type", R"({"enum":["text","refusal"]})"},
    {kImagePartFields, "type", R"({"enum":["image_url"]})"},
    {kSizePartFields, "type", R"({"enum":["image_size"]})"},
    {kToolFields | kToolCallFields | kFlatToolFields, "type", R"({"enum":["function"]})"},
    {kResponseFormatFields | kTextFormatFields, "type", R"({"enum":["text","json_object","json_schema"]})"},
    {kInputPartFields, "type", R"({"enum":["input_text","input_image","output_text","refusal"]})"},
    {kInputItemFields, "type", R"({"enum":["message","function_call","function_call_output"]})"},
    {kFunctionFields | kCalledFields | kChosenFields | kFlatToolFields, "name",
     R"({"pattern":"^[A-Za-z0-9_.-]{1,64}$"})"},
};

struct NumberRule {
  std::string_view name;
  limits::Range range;
};
constexpr NumberRule kNumberRules[] = {
    {"temperature", limits::kTemperature},
    {"top_p", limits::kTopP},
    {"min_p", limits::kMinP},
    {"repetition_penalty", limits::kRepetitionPenalty},
    {"presence_penalty", limits::kPresencePenalty},
    {"frequency_penalty", limits::kFrequencyPenalty},
    {"priority", {-limits::kMostPriority, limits::kMostPriority}},
    {"prompt_logprobs", {0, limits::kMostLogprobs}},
    {"top_logprobs", {0, limits::kMostLogprobs}},
    {"logprobs", {0, limits::kMostLogprobs}},
};

struct ListRule {
  std::string_view name;
  size_t most;
  size_t longest;  // of a text; 0: the list holds ids
  size_t least = 0;
};
constexpr ListRule kListRules[] = {
    {"allowed_token_ids", limits::kMostAllowedIds, 0, 1},
    {"stop_token_ids", limits::kMostStopIds, 0},
    {"bad_words", limits::kMostBadWords, limits::kLongestBadWord},
    {"stop", limits::kMostStops, limits::kLongestStop},
};

struct ObjectRule {
  uint32_t objects;
  std::string_view keywords;  // JSON
};
constexpr ObjectRule kObjectRules[] = {
    // A text, or a conversation.
    {kTokenizeFields,
     R"({"oneOf":[
{"required":["prompt"],"properties":{"prompt":{"type":"string"},"messages":{"type":"null"},
 "add_generation_prompt":{"type":"null"},"continue_final_message":{"type":"null"},
 "chat_template_kwargs":{"type":"null"},"tools":{"type":"null"}}},
{"required":["messages"],"properties":{"messages":{"type":"array"},"prompt":{"type":"null"},
 "add_special_tokens":{"type":"null"}}}]})"},
    {kTextPartFields,
     R"({"anyOf":[
{"required":["text"],"properties":{"type":{"const":"text"},"text":{"type":"string"}}},
{"required":["refusal"],"properties":{"type":{"const":"refusal"},"refusal":{"type":"string"}}}]})"},
    {kInputPartFields,
     R"({"anyOf":[
{"required":["text"],"properties":{"type":{"enum":["input_text","output_text"]},"text":{"type":"string"}}},
{"required":["refusal"],"properties":{"type":{"const":"refusal"},"refusal":{"type":"string"}}},
{"required":["image_url"],"properties":{"type":{"const":"input_image"},
 "image_url":{"type":"string","format":"image-url"},"detail":{"enum":["low","high","auto",null]},
 "max_slices":{"type":["integer","null"],"minimum":1,"maximum":2147483647}}}]})"},
    {kTextFormatFields,
     R"({"anyOf":[
{"properties":{"type":{"enum":["text","json_object"]}}},
{"required":["schema"],"properties":{"type":{"const":"json_schema"},"schema":{"type":"object"}}}]})"},
    {kInputItemFields,
     R"({"anyOf":[
{"required":["role","content"],"properties":{"type":{"enum":["message",null]},
 "role":{"enum":["system","developer"]},"call_id":{"type":"null"},"name":{"type":"null"},
 "arguments":{"type":"null"},"output":{"type":"null"},"content":{"anyOf":[{"type":"string"},{"type":"array",
 "items":{"$ref":"#/components/schemas/InputPart","properties":{"type":{"enum":["input_text","output_text"]}}}}]}}},
{"required":["role","content"],"properties":{"type":{"enum":["message",null]},
 "role":{"const":"user"},"call_id":{"type":"null"},"name":{"type":"null"},
 "arguments":{"type":"null"},"output":{"type":"null"},"content":{"anyOf":[{"type":"string"},{"type":"array",
 "items":{"$ref":"#/components/schemas/InputPart",
 "properties":{"type":{"enum":["input_text","output_text","input_image"]}}}}]}}},
{"required":["role","content"],"properties":{"type":{"enum":["message",null]},
 "role":{"const":"assistant"},"call_id":{"type":"null"},"name":{"type":"null"},
 "arguments":{"type":"null"},"output":{"type":"null"},"content":{"anyOf":[{"type":"string"},{"type":"array",
 "items":{"$ref":"#/components/schemas/InputPart",
 "properties":{"type":{"enum":["input_text","output_text","refusal"]}}}}]}}},
{"required":["type","call_id","name","arguments"],"properties":{"type":{"const":"function_call"},
 "role":{"type":"null"},"content":{"type":"null"},"output":{"type":"null"},
 "call_id":{"type":"string"},"name":{"type":"string","pattern":"^[A-Za-z0-9_.-]{1,64}$"},
 "arguments":{"type":"string"}}},
{"required":["type","call_id","output"],"properties":{"type":{"const":"function_call_output"},
 "role":{"type":"null"},"content":{"type":"null"},"name":{"type":"null"},"arguments":{"type":"null"},
 "call_id":{"type":"string"},"output":{"anyOf":[{"type":"string"},{"type":"array",
 "items":{"$ref":"#/components/schemas/InputPart","properties":{"type":{"enum":["input_text","output_text"]}}}}]}}}]})"},
    {kResponseFormatFields,
     R"({"anyOf":[
{"properties":{"type":{"enum":["text",null]},"schema":{"type":"null"},"json_schema":{"type":"null"}}},
{"required":["type"],"properties":{"type":{"const":"json_object"}}},
{"required":["type","schema"],
 "properties":{"type":{"const":"json_schema"},"schema":{"type":"object"},"json_schema":{"type":"null"}}},
{"required":["type","json_schema"],"properties":{"type":{"const":"json_schema"},"schema":{"type":"null"},
 "json_schema":{"$ref":"#/components/schemas/JsonSchema"}}}]})"},
    {kResponsesFields,
     // Thoughts alone are no message.
     R"({"not":{"properties":{"input":{"type":"array","not":{"contains":{"not":{"required":["type"],
"properties":{"type":{"const":"reasoning"}}}}}},"instructions":{"type":"null"}}}})"},
};

constexpr size_t kItemsWithoutTools = 3;  // the kinds of input items that come before calls and their results

// One rule for the answer's text is taken.
constexpr std::string_view kTextRules[] = {
    "ebnf",        "grammar", "guided_choice",  "guided_grammar",     "guided_json",    "guided_regex",
    "json_schema", "regex",   "structural_tag", "structured_outputs", "response_format"};
constexpr std::string_view kInnerTextRules[] = {"choice",      "grammar", "json",
                                                "json_object", "regex",   "structural_tag"};

template <class Names>
json::array one_of_them(const Names& names) {
  json::array branches;
  for (const std::string_view taken : names) {
    json::object nulls;
    for (const std::string_view other : names) {
      if (other != taken) nulls[other] = json::object{{"type", "null"}};
    }
    branches.push_back(json::object{{"properties", std::move(nulls)}});
  }
  return branches;
}

void add_keywords(std::string_view keywords, json::object& schema) {
  const json::value parsed = json::parse(keywords);
  for (const auto& [key, value] : parsed.as_object()) schema[key] = value;
}

json::object id_schema(const ModelInfo& model) {
  return {{"type", "integer"}, {"minimum", 0}, {"maximum", model.vocabulary - 1}};
}

// The pattern of the numbers below `end`, without leading zeros.
std::string pattern_below(int end) {
  const std::string digits = std::to_string(end);
  std::string pattern = "^(";
  for (size_t n = 1; n < digits.size(); ++n) {
    pattern += message(n == 1 ? "[0-9]" : message("[1-9][0-9]{", n - 1, '}'), '|');
  }
  for (size_t i = 0; i < digits.size(); ++i) {
    const char least = i == 0 && digits.size() > 1 ? '1' : '0';
    if (digits[i] <= least) continue;
    pattern += message(digits.substr(0, i), '[', least, '-', static_cast<char>(digits[i] - 1), "][0-9]{",
                       digits.size() - 1 - i, "}|");
  }
  pattern.back() = ')';
  return pattern + '$';
}

void add_model_rules(FieldObject object, std::string_view name, const ModelInfo& model, int max_choices,
                     json::object& property) {
  const json::object id = id_schema(model);
  if (name == "model") {
    property["enum"] = names_of(model);
  } else if (name == "logit_bias") {
    property["propertyNames"] = json::object{{"pattern", pattern_below(model.vocabulary)}};
  } else if (name == "tokens" || name == "allowed_token_ids" || name == "stop_token_ids") {
    property["items"] = id;
  } else if (name == "chat_template_kwargs") {
    json::object variables;
    for (const std::string& variable : model.template_variables) variables[variable] = json::object();
    property["properties"] = std::move(variables);
    property["additionalProperties"] = false;
  } else if (model.tools == ToolForm::none && (name == "tools" || name == "tool_calls")) {
    property["maxItems"] = 0;
  } else if (model.tools == ToolForm::none && name == "tool_choice") {
    property["enum"] = {"none", "auto"};
  } else if (model.tools == ToolForm::none && name == "tool_call_id") {
    property["type"] = "null";
  } else if (name == "prompt" && object == kCompletionsFields) {
    const json::object ids{
        {"type", "array"}, {"items", id}, {"minItems", 1}, {"maxItems", model.context_length - 1}};
    const json::object text{{"type", "string"}, {"minLength", 1}};
    const json::object texts{{"type", "array"}, {"items", text}, {"minItems", 1}, {"maxItems", max_choices}};
    const json::object lists{{"type", "array"}, {"items", ids}, {"minItems", 1}, {"maxItems", max_choices}};
    property["anyOf"] = json::array{text, ids, texts, lists};
  }
}

}  // namespace

json::array names_of(const ModelInfo& model) {
  json::array names{json::string(model.id)};
  for (const std::string& alias : model.aliases) names.emplace_back(alias);
  return names;
}

void add_field_rules(FieldObject object, const RequestField& field, bool required, const ModelInfo* model,
                     const NetOptions& options, json::object& property) {
  if (field.use == FieldUse::honoured) {
    for (const FieldRule& rule : kFieldRules) {
      if ((rule.objects & object) != 0 && rule.name == field.name) add_keywords(rule.keywords, property);
    }
    for (const NumberRule& rule : kNumberRules) {
      if (rule.name != field.name || field.types == "boolean") continue;
      property["minimum"] = rule.range.least;
      property["maximum"] = rule.range.most;
    }
    for (const ListRule& rule : kListRules) {
      if (rule.name != field.name) continue;
      if (rule.least > 0) property["minItems"] = rule.least;
      property["maxItems"] = rule.most;
      if (rule.longest == 0) continue;
      property["items"] = json::object{{"type", "string"}, {"minLength", 1}, {"maxLength", rule.longest}};
    }
    if (field.name == "stop") {
      property["minLength"] = 1;
      property["maxLength"] = limits::kLongestStop;
    }
    if (field.name == "n") {
      property["minimum"] = 1;
      property["maximum"] = options.max_choices;
    }
    if (field.name == "tokens") property["maxItems"] = options.max_detokenize_ids;
    if (field.name == "logit_bias") {
      property["maxProperties"] = limits::kMostLogitBiases;
      property["additionalProperties"] = json::object{
          {"type", "number"}, {"minimum", limits::kLogitBias.least}, {"maximum", limits::kLogitBias.most}};
    }
    if (model != nullptr) add_model_rules(object, field.name, *model, options.max_choices, property);
  }
  if (required) return;
  if (json::value* words = property.if_contains("enum")) words->as_array().emplace_back(nullptr);
}

void add_object_rules(FieldObject object, const ModelInfo* model, json::object& schema) {
  for (const ObjectRule& rule : kObjectRules) {
    if ((rule.objects & object) != 0) add_keywords(rule.keywords, schema);
  }
  if (object == kInputItemFields && model != nullptr && model->tools == ToolForm::none) {
    schema["anyOf"].as_array().resize(kItemsWithoutTools);
  }
  if ((object & (kChatFields | kPlanFields | kCompletionsFields)) != 0)
    schema["anyOf"] = one_of_them(kTextRules);
  if (object == kStructuredFields) schema["anyOf"] = one_of_them(kInnerTextRules);
}

}  // namespace uhd
