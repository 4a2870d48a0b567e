#include "net/openapi.h"

#include <boost/json.hpp>
#include <string_view>
#include <utility>

#include "base/version.h"
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
    {kFlatToolFields, "name"},
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

// The objects within objects.
json::object nested_schema(FieldObject object, std::string_view name) {
  json::object text{{"type", "string"}};
  if (name == "messages") return array_of("Message");
  if (name == "stream_options") return reference("StreamOptions");
  if (name == "response_format") return reference("ResponseFormat");
  if (name == "input") return {{"anyOf", json::array{text, array_of("InputItem")}}};
  if (object == kInputItemFields && (name == "content" || name == "output")) {
    return {{"anyOf", json::array{text, array_of("InputPart")}}};
  }
  if (object == kInputPartFields && name == "image_url") return text;
  if (object == kResponsesFields && name == "text") return reference("ResponseText");
  if (object == kTextFields && name == "format") return reference("TextFormat");
  if (object == kResponsesFields && name == "tools") return array_of("ResponseTool");
  if (name == "tools" && object != kMessageFields) return array_of("Tool");
  if (name == "tool_calls") return array_of("ToolCall");
  if (name == "function") return reference(object == kToolFields ? "Function" : "CalledFunction");
  if (name == "structured_outputs") return reference("StructuredOutputs");
  if (name == "json_schema" && object == kResponseFormatFields) return reference("JsonSchema");
  if (name == "image_url") return {{"anyOf", json::array{text, reference("ImageUrl")}}};
  if (name == "content" && object == kMessageFields) {
    const json::array parts{reference("TextPart"), reference("ImagePart"), reference("ImageSizePart")};
    const json::object list{{"type", "array"}, {"items", json::object{{"anyOf", parts}}}};
    return {{"anyOf", json::array{text, list, json::object{{"type", "null"}}}}};
  }
  return {};
}

json::object property(FieldObject object, const RequestField& field) {
  json::object schema = nested_schema(object, field.name);
  if (schema.empty()) {
    json::array types;
    for (const std::string_view type : types_of(field)) types.emplace_back(type);
    types.emplace_back("null");
    schema["type"] = std::move(types);
    schema["examples"] = json::array{json::parse(field.example)};
  }
  schema["description"] = field.text;
  if (field.use == FieldUse::accepted) schema["x-accepted"] = true;  // and nothing follows from it
  return schema;
}

json::object object_schema(FieldObject object, bool refuses_unknown) {
  json::object properties, refused;
  for (const RequestField& field : request_fields()) {
    if ((field.objects & object) == 0) continue;
    if (field.use == FieldUse::refused) {
      refused[field.name] = field.text;
    } else {
      properties[field.name] = property(object, field);
    }
  }
  json::array required;
  for (const auto& [of, name] : kRequired) {
    if (of == object) required.emplace_back(name);
  }
  json::object schema{
      {"type", "object"}, {"properties", std::move(properties)}, {"x-refused", std::move(refused)}};
  if (!required.empty()) schema["required"] = std::move(required);
  if (refuses_unknown) schema["additionalProperties"] = false;
  return schema;
}

json::object operation(const Route& route) {
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
    out["parameters"] = json::array{json::object{
        {"name", "model"}, {"in", "path"}, {"required", true}, {"schema", json::object{{"type", "string"}}}}};
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

std::string openapi_json(bool refuses_unknown) {
  json::object schemas;
  for (const auto& [object, name] : kSchemas) schemas[name] = object_schema(object, refuses_unknown);
  schemas["Error"] = error_schema();
  json::object paths;
  for (const Route& route : kRoutes) {
    paths[route.path] = json::object{{route.schema.empty() ? "get" : "post", operation(route)}};
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
