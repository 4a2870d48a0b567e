#include "net/openapi.h"

#include <boost/json.hpp>
#include <set>
#include <string_view>
#include <utility>

#include "base/version.h"
#include "net/openapi_rules.h"
#include "net/request_fields.h"

namespace uhd {
namespace {

namespace json = boost::json;

constexpr std::pair<FieldObject, std::string_view> kSchemas[] = {
    {kChatFields, "Chat"},
    {kCompletionsFields, "Completions"},
    {kPlanFields, "Plan"},
    {kTokenizeFields, "Tokenize"},
    {kDetokenizeFields, "Detokenize"},
    {kStreamOptionsFields, "StreamOptions"},
    {kResponseFormatFields, "ResponseFormat"},
    {kMessageFields, "Message"},
    {kTextPartFields, "TextPart"},
    {kImagePartFields, "ImagePart"},
    {kSizePartFields, "ImageSizePart"},
    {kImageUrlFields, "ImageUrl"},
    {kStructuredFields, "StructuredOutputs"},
    {kJsonSchemaFields, "JsonSchema"},
    {kToolFields, "Tool"},
    {kFunctionFields, "Function"},
    {kToolCallFields, "ToolCall"},
    {kCalledFields, "CalledFunction"},
    {kChosenFields, "ChosenFunction"},
    {kResponsesFields, "Responses"},
    {kInputItemFields, "InputItem"},
    {kInputPartFields, "InputPart"},
    {kTextFields, "ResponseText"},
    {kTextFormatFields, "TextFormat"},
    {kFlatToolFields, "ResponseTool"},
};

// Fields without which an object is refused.
constexpr std::pair<FieldObject, std::string_view> kRequired[] = {
    {kChatFields, "messages"},     {kCompletionsFields, "prompt"},  {kPlanFields, "messages"},
    {kDetokenizeFields, "tokens"}, {kMessageFields, "role"},        {kTextPartFields, "type"},
    {kImagePartFields, "type"},    {kImagePartFields, "image_url"}, {kSizePartFields, "type"},
    {kSizePartFields, "width"},    {kSizePartFields, "height"},     {kImageUrlFields, "url"},
    {kToolFields, "function"},     {kFunctionFields, "name"},       {kToolCallFields, "function"},
    {kCalledFields, "name"},       {kChosenFields, "name"},         {kResponsesFields, "input"},
    {kInputPartFields, "type"},    {kTextFormatFields, "type"},     {kFlatToolFields, "type"},
    {kFlatToolFields, "name"},     {kJsonSchemaFields, "schema"},
};

struct Route {
  std::string_view path;
  std::string_view schema;  // of the body; empty: a GET
  std::string_view summary;
};
constexpr Route kRoutes[] = {
    {"/v1/chat/completions", "Chat", "Answers a conversation with text and images, streamed or not"},
    {"/v1/completions", "Completions", "Continues a raw prompt"},
    {"/v1/responses", "Responses", "Answers a conversation, in OpenAI's later form"},
    {"/v1/plan", "Plan", "Says what a conversation would cost, and runs nothing"},
    {"/tokenize", "Tokenize", "Turns a text or a conversation into ids"},
    {"/detokenize", "Detokenize", "Turns ids into a text"},
    {"/v1/models", "", "Lists the names of the model"},
    {"/v1/models/{model}", "", "Describes the model"},
    {"/health", "", "Says that the process lives"},
    {"/livez", "", "The same as /health"},
    {"/ready", "", "Says whether requests are answered"},
    {"/readyz", "", "The same as /ready"},
    {"/version", "", "Names the version of the server"},
    {"/metrics", "", "Gives Prometheus text"},
    {"/openapi.json", "", "This document"},
};

json::object reference(std::string_view schema) {
  return {{"$ref", "#/components/schemas/" + std::string(schema)}};
}

json::object array_of(std::string_view schema) { return {{"type", "array"}, {"items", reference(schema)}}; }

// Fields whose type matters in some kinds of their object alone; the rules of the object say in which.
bool is_of_some_kinds(FieldObject object, std::string_view name) {
  if (object == kTextPartFields || object == kInputPartFields) {
    return name == "text" || name == "refusal" || name == "image_url" || name == "detail" ||
           name == "max_slices";
  }
  return object == kInputItemFields && name != "type" && name != "id" && name != "status";
}

// The objects within objects.
json::object nested_schema(FieldObject object, std::string_view name) {
  json::object text{{"type", "string"}};
  if (name == "messages") return array_of(object == kChatFields ? "Message" : "PlannedMessage");
  if (name == "stream_options" && object != kResponsesFields) return reference("StreamOptions");
  if (name == "response_format") return reference("ResponseFormat");
  if (name == "input") {
    const json::array items{reference("InputItem"), reference("ReasoningItem")};
    const json::object list{{"type", "array"}, {"items", json::object{{"anyOf", items}}}};
    return {{"anyOf", json::array{text, list}}};
  }
  if (object == kResponsesFields && name == "text") return reference("ResponseText");
  if (object == kTextFields && name == "format") return reference("TextFormat");
  if (object == kResponsesFields && name == "tools") return array_of("ResponseTool");
  if (name == "tools" && object != kMessageFields) return array_of("Tool");
  if (name == "tool_calls") return array_of("ToolCall");
  if (name == "function") return reference(object == kToolFields ? "Function" : "CalledFunction");
  if (name == "structured_outputs") return reference("StructuredOutputs");
  if (name == "image_url") {
    text["format"] = "image-url";
    return {{"anyOf", json::array{text, reference("ImageUrl")}}};
  }
  return {};
}

// The role of a message decides what it holds. Sizes stand for images in messages that are planned only.
json::array message_kinds(const ModelInfo* model, bool sizes) {
  const json::object null{{"type", "null"}}, text{{"type", "string"}};
  const json::object plain{{"$ref", "#/components/schemas/TextPart"},
                           {"properties", json::object{{"type", json::object{{"const", "text"}}}}}};
  json::array pictures{plain};
  if (model == nullptr || model->vision) pictures.push_back(reference("ImagePart"));
  if ((model == nullptr || model->vision) && sizes) pictures.push_back(reference("ImageSizePart"));
  const auto content = [&](const json::object& part) {
    return json::object{{"anyOf", json::array{text, json::object{{"type", "array"}, {"items", part}}}}};
  };
  const auto kind = [&](json::array roles, const json::object& contents) {
    const bool answers = roles[0] == "assistant", result = roles[0] == "tool";
    json::object fields{{"role", json::object{{"enum", std::move(roles)}}},
                        {"content", contents},
                        {"refusal", json::object{{"enum", json::array{"", nullptr}}}},
                        {"tool_call_id", result ? text : null}};
    if (!answers) {
      fields["tool_calls"] = json::object{{"type", json::array{"array", "null"}}, {"maxItems", 0}};
    }
    json::array needed{"content"};
    if (result) needed.emplace_back("tool_call_id");
    return json::object{{"properties", std::move(fields)}, {"required", std::move(needed)}};
  };
  json::array kinds{kind({"system", "developer"}, content(plain)),
                    kind({"user"}, content({{"anyOf", std::move(pictures)}})),
                    kind({"assistant"}, content(reference("TextPart")))};
  if (model == nullptr || model->tools != ToolForm::none) kinds.push_back(kind({"tool"}, content(plain)));
  // An answer that only called tools, or refused.
  kinds.push_back(json::object{{"properties", json::object{{"role", json::object{{"const", "assistant"}}},
                                                           {"content", null},
                                                           {"tool_call_id", null}}}});
  return kinds;
}

// The document depends on these; `model` is null while none is served.
struct Served {
  bool refuses_unknown;
  const ModelInfo* model;
  const NetOptions& options;
};

// null is the same as an absent field, so a field that must be there is not null.
json::object property(FieldObject object, const RequestField& field, bool required, const Served& served) {
  json::object schema = nested_schema(object, field.name);
  if (is_of_some_kinds(object, field.name)) {
    schema.clear();
  } else if (schema.empty()) {
    json::array types;
    for (const std::string_view type : types_of(field)) types.emplace_back(type);
    if (!required) types.emplace_back("null");
    schema["type"] = std::move(types);
    // Some examples hold for other kinds of the object, or not beside the others.
    const std::set<std::string_view> without{"type", "model", "chat_template_kwargs", "n"};
    if (!without.contains(field.name)) schema["examples"] = json::array{json::parse(field.example)};
  } else if (!required) {
    schema = json::object{{"anyOf", json::array{std::move(schema), json::object{{"type", "null"}}}}};
  }
  add_field_rules(object, field, required, served.model, served.options, schema);
  schema["description"] = field.text;
  if (field.use == FieldUse::accepted) schema["x-accepted"] = true;  // and nothing follows from it
  return schema;
}

json::object object_schema(FieldObject object, const Served& served) {
  json::array required;
  std::set<std::string_view> needed;
  for (const auto& [of, name] : kRequired) {
    if (of != object) continue;
    required.emplace_back(name);
    needed.insert(name);
  }
  json::object properties, refused;
  for (const RequestField& field : request_fields()) {
    if ((field.objects & object) == 0) continue;
    if (field.use == FieldUse::refused) {
      refused[field.name] = field.text;
    } else {
      properties[field.name] = property(object, field, needed.contains(field.name), served);
    }
  }
  json::object schema{
      {"type", "object"}, {"properties", std::move(properties)}, {"x-refused", std::move(refused)}};
  if (!required.empty()) schema["required"] = std::move(required);
  if (served.refuses_unknown) schema["additionalProperties"] = false;
  add_object_rules(object, served.model, schema);
  if (object == kMessageFields) schema["anyOf"] = message_kinds(served.model, false);
  return schema;
}

json::object operation(const Route& route, const ModelInfo* model) {
  const json::object error{
      {"description", "An error"},
      {"content", json::object{{"application/json", json::object{{"schema", reference("Error")}}}}}};
  json::object out{
      {"summary", route.summary},
      {"responses", json::object{{"200", json::object{{"description", "The answer"}}}, {"default", error}}}};
  if (!route.schema.empty()) {
    out["requestBody"] = json::object{
        {"required", true},
        {"content", json::object{{"application/json", json::object{{"schema", reference(route.schema)}}}}}};
  }
  if (route.path.ends_with("{model}")) {
    json::object name{{"type", "string"}};
    if (model != nullptr) name["enum"] = names_of(*model);
    out["parameters"] = json::array{
        json::object{{"name", "model"}, {"in", "path"}, {"required", true}, {"schema", std::move(name)}}};
  }
  return out;
}

json::object error_schema() {
  const json::object text{{"type", json::array{"string", "null"}}};
  const json::object inner{{"type", "object"},
                           {"properties", json::object{{"message", json::object{{"type", "string"}}},
                                                       {"type", json::object{{"type", "string"}}},
                                                       {"param", text},
                                                       {"code", text}}}};
  return {{"type", "object"}, {"properties", json::object{{"error", inner}}}};
}

}  // namespace

std::string openapi_json(const NetOptions& options, const ModelInfo* model) {
  const Served served{options.unknown_fields != "warn", model, options};
  json::object schemas;
  for (const auto& [object, name] : kSchemas) schemas[name] = object_schema(object, served);
  json::object planned = schemas.at("Message").as_object();
  planned["anyOf"] = message_kinds(model, true);
  schemas["PlannedMessage"] = std::move(planned);
  schemas["ReasoningItem"] = json::parse(R"({"type":"object","required":["type"],"additionalProperties":false,
"properties":{"type":{"const":"reasoning"},"id":{},"status":{},"summary":{},"encrypted_content":{"type":"null"},
 "content":{"type":["array","null"],"items":{"type":"object","required":["text"],
 "properties":{"text":{"type":"string"}}}}}})");
  schemas["Error"] = error_schema();
  json::object paths;
  for (const Route& route : kRoutes) {
    paths[route.path] = json::object{{route.schema.empty() ? "get" : "post", operation(route, model)}};
  }
  return json::serialize(json::object{
      {"openapi", "3.1.0"},
      {"info", json::object{{"title", "uhd"}, {"version", version()}}},
      {"paths", std::move(paths)},
      {"components",
       json::object{{"schemas", std::move(schemas)},
                    {"securitySchemes",
                     json::object{{"key", json::object{{"type", "http"}, {"scheme", "bearer"}}}}}}}});
}

}  // namespace uhd
