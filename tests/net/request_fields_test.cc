// Sends every field of the list to the reader of requests, and checks that it is what the list says: honoured
// fields are read (a wrong value is refused by name), accepted ones are taken and held to their type, refused
// ones are refused by name unless their value asks for nothing.
#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <set>

#include "base/error.h"
#include "net/openai.h"
#include "net/openapi.h"
#include "net/request_fields.h"

namespace uhd {
namespace {

namespace json = boost::json;

ModelInfo model_with_variables() {
  ModelInfo model{"fake", "llava-uhd-v1", true, 2048, 1000};
  model.template_variables = {"enable_thinking"};
  model.tools = ToolForm::hermes;
  return model;
}
const ModelInfo kThinkingModel = model_with_variables();
constexpr std::string_view kPngUrl = "data:image/png;base64,iVBORw0KGgo=";
constexpr FieldObject kObjects[] = {
    kChatFields,          kCompletionsFields,    kPlanFields,       kTokenizeFields,   kDetokenizeFields,
    kStreamOptionsFields, kResponseFormatFields, kMessageFields,    kTextPartFields,   kImagePartFields,
    kSizePartFields,      kImageUrlFields,       kStructuredFields, kJsonSchemaFields, kToolFields,
    kFunctionFields,      kToolCallFields,       kCalledFields,     kChosenFields,     kResponsesFields,
    kInputItemFields,     kInputPartFields,      kTextFields,       kTextFormatFields, kFlatToolFields};

// Where an object stands: the body around it, and the path of its fields.
struct Place {
  json::object object;  // with what it cannot be without
  std::string path;
  Endpoint endpoint = Endpoint::chat;
};

// A field may need or exclude another one.
Place place_of(FieldObject kind, std::string_view name) {
  const json::array messages{json::object{{"role", "user"}, {"content", "hi"}}};
  switch (kind) {
    case kChatFields:
      return {{{"messages", messages}}, ""};
    case kPlanFields:
      return {{{"messages", messages}}, "", Endpoint::plan};
    case kCompletionsFields:
      return {{{"prompt", "hi"}}, "", Endpoint::completions};
    case kTokenizeFields: {
      const std::set<std::string_view> of_messages{"messages", "add_generation_prompt",
                                                   "continue_final_message", "chat_template_kwargs", "tools"};
      if (of_messages.contains(name)) return {{{"messages", messages}}, ""};
      return {{{"prompt", "hi"}}, ""};
    }
    case kDetokenizeFields:
      return {{{"tokens", json::array{5}}}, ""};
    case kStreamOptionsFields:
      return {{}, "stream_options."};
    case kResponseFormatFields:
      if (name == "schema" || name == "json_schema") return {{{"type", "json_schema"}}, "response_format."};
      return {{{"type", "text"}}, "response_format."};
    case kStructuredFields:
      return {{}, "structured_outputs."};
    case kJsonSchemaFields:
      return {{{"schema", json::object()}}, "response_format.json_schema."};
    case kMessageFields:
      if (name == "refusal") return {{{"role", "assistant"}}, "messages[0]."};
      if (name == "tool_call_id") return {{{"role", "tool"}, {"content", "hi"}}, "messages[0]."};
      return {{{"role", "assistant"}, {"content", "hi"}}, "messages[0]."};
    case kTextPartFields:
      if (name == "refusal") return {{{"type", "refusal"}}, "messages[0].content[0]."};
      return {{{"type", "text"}, {"text", "hi"}}, "messages[0].content[0]."};
    case kImagePartFields:
      return {{{"type", "image_url"}, {"image_url", kPngUrl}}, "messages[0].content[0]."};
    case kSizePartFields:
      return {
          {{"type", "image_size"}, {"width", 9}, {"height", 9}}, "messages[0].content[0].", Endpoint::plan};
    case kImageUrlFields:
      return {{{"url", kPngUrl}}, "messages[0].content[0].image_url."};
    case kToolFields:
      return {{{"type", "function"}, {"function", json::object{{"name", "f"}}}}, "tools[0]."};
    case kFunctionFields:
      return {{{"name", "f"}}, "tools[0].function."};
    case kToolCallFields:
      return {{{"type", "function"}, {"function", json::object{{"name", "f"}, {"arguments", "{}"}}}},
              "messages[0].tool_calls[0]."};
    case kCalledFields:
      return {{{"name", "f"}, {"arguments", "{}"}}, "messages[0].tool_calls[0].function."};
    case kChosenFields:
      return {{{"name", "f"}}, "tool_choice.function."};
    case kResponsesFields:
      return {{{"input", "hi"}}, "", Endpoint::responses};
    case kInputItemFields: {
      const bool result = name == "output" || name == "call_id";
      const json::object calls{
          {"type", "function_call"}, {"call_id", "c"}, {"name", "f"}, {"arguments", "{}"}};
      const json::object answers{{"type", "function_call_output"}, {"call_id", "c"}, {"output", "hi"}};
      const json::object says{{"role", "user"}, {"content", "hi"}};
      return {name == "name" || name == "arguments" ? calls
              : result                              ? answers
                                                    : says,
              "input[0].", Endpoint::responses};
    }
    case kInputPartFields: {
      const bool image = name == "image_url" || name == "detail" || name == "max_slices" || name == "file_id";
      const json::object picture{{"type", "input_image"}, {"image_url", kPngUrl}};
      const json::object refused{{"type", "refusal"}, {"refusal", "no"}};
      const json::object text{{"type", "input_text"}, {"text", "hi"}};
      return {image               ? picture
              : name == "refusal" ? refused
                                  : text,
              "input[0].content[0].", Endpoint::responses};
    }
    case kTextFields:
      return {{}, "text.", Endpoint::responses};
    case kTextFormatFields:
      return {{{"type", "json_schema"}, {"schema", json::object()}}, "text.format.", Endpoint::responses};
    case kFlatToolFields:
      return {{{"type", "function"}, {"name", "f"}}, "tools[0].", Endpoint::responses};
  }
  return {};
}

json::object body_around(FieldObject kind, const json::object& object) {
  const auto of_message = [](const json::object& message) {
    return json::object{{"messages", json::array{message}}};
  };
  const auto of_part = [&](const json::object& part, std::string_view role) {
    return of_message({{"role", role}, {"content", json::array{part}}});
  };
  switch (kind) {
    case kStreamOptionsFields: {
      json::object body = of_message({{"role", "user"}, {"content", "hi"}});
      body["stream"] = true;
      body["stream_options"] = object;
      return body;
    }
    case kResponseFormatFields: {
      json::object body = of_message({{"role", "user"}, {"content", "hi"}});
      body["response_format"] = object;
      return body;
    }
    case kStructuredFields: {
      json::object body = of_message({{"role", "user"}, {"content", "hi"}});
      body["structured_outputs"] = object;
      return body;
    }
    case kJsonSchemaFields: {
      json::object body = of_message({{"role", "user"}, {"content", "hi"}});
      body["response_format"] = json::object{{"type", "json_schema"}, {"json_schema", object}};
      return body;
    }
    case kToolFields:
    case kFunctionFields:
    case kChosenFields: {
      json::object body = of_message({{"role", "user"}, {"content", "hi"}});
      const json::object named{{"name", "f"}};
      body["tools"] = json::array{kind == kToolFields
                                      ? object
                                      : json::object{{"function", kind == kFunctionFields ? object : named}}};
      if (kind == kChosenFields) body["tool_choice"] = json::object{{"function", object}};
      return body;
    }
    case kToolCallFields:
    case kCalledFields: {
      const json::object call = kind == kToolCallFields ? object : json::object{{"function", object}};
      return of_message({{"role", "assistant"}, {"content", nullptr}, {"tool_calls", json::array{call}}});
    }
    case kInputItemFields:
      return {{"input", json::array{object}}};
    case kInputPartFields: {
      const bool says = object.contains("refusal");
      return {{"input", json::array{json::object{{"role", says ? "assistant" : "user"},
                                                 {"content", json::array{object}}}}}};
    }
    case kTextFields:
      return {{"input", "hi"}, {"text", object}};
    case kTextFormatFields:
      return {{"input", "hi"}, {"text", json::object{{"format", object}}}};
    case kFlatToolFields:
      return {{"input", "hi"}, {"tools", json::array{object}}};
    case kMessageFields:
      return of_message(object);
    case kTextPartFields:
      return of_part(object, "assistant");
    case kImagePartFields:
    case kSizePartFields:
      return of_part(object, "user");
    case kImageUrlFields:
      return of_part({{"type", "image_url"}, {"image_url", object}}, "user");
    default:
      return object;
  }
}

struct Outcome {
  std::optional<ApiError> error;
  std::string warning;
};

template <class T>
Outcome outcome_of(const std::variant<T, ApiError>& result) {
  if (const auto* error = std::get_if<ApiError>(&result)) return {*error, ""};
  return {std::nullopt, std::get<T>(result).warning};
}

// Sends the object with a field set to a value.
Outcome send(FieldObject kind, std::string_view name, const json::value& value,
             const NetOptions& options = {}) {
  Place place = place_of(kind, name);
  place.object[name] = value;
  const std::string body = json::serialize(body_around(kind, place.object));
  if (kind == kTokenizeFields) return outcome_of(parse_tokenize(body, kThinkingModel, options));
  if (kind == kDetokenizeFields) return outcome_of(parse_detokenize(body, kThinkingModel, options));
  return outcome_of(parse_call(place.endpoint, body, kThinkingModel, options));
}

json::value example_of(FieldObject kind, const RequestField& field) {
  if (field.name == "type" && kind == kImagePartFields) return "image_url";
  if (field.name == "type" && kind == kSizePartFields) return "image_size";
  return json::parse(field.example);
}

json::value wrong_value(const RequestField& field) {
  if (field.types.find("object") != std::string_view::npos) return 5;
  return json::object{{"wrong", 1}};
}

template <class Check>
void for_each_field(FieldUse use, const Check& check) {
  int checked = 0;
  for (const RequestField& field : request_fields()) {
    for (const FieldObject kind : kObjects) {
      if (field.use != use || (field.objects & kind) == 0) continue;
      SCOPED_TRACE(message(name_of(kind), " ", field.name));
      check(kind, field, place_of(kind, field.name).path + std::string(field.name));
      ++checked;
    }
  }
  EXPECT_GT(checked, 40);
}

TEST(RequestFields, HonouredOnesAreRead) {
  for_each_field(FieldUse::honoured,
                 [](FieldObject kind, const RequestField& field, const std::string& path) {
                   const Outcome good = send(kind, field.name, example_of(kind, field));
                   EXPECT_FALSE(good.error) << good.error->message;
                   const Outcome wrong = send(kind, field.name, wrong_value(field));
                   ASSERT_TRUE(wrong.error) << "a wrong value is taken";
                   EXPECT_EQ(wrong.error->status, 400);
                   EXPECT_EQ(wrong.error->param, path);
                 });
}

TEST(RequestFields, AcceptedOnesAreTakenAndHeldToTheirType) {
  for_each_field(FieldUse::accepted,
                 [](FieldObject kind, const RequestField& field, const std::string& path) {
                   for (const json::value& value : {json::parse(field.example), json::value(nullptr)}) {
                     const Outcome good = send(kind, field.name, value);
                     EXPECT_FALSE(good.error) << good.error->message;
                   }
                   const Outcome wrong = send(kind, field.name, wrong_value(field));
                   ASSERT_TRUE(wrong.error) << "a wrong value is taken";
                   EXPECT_EQ(wrong.error->param, path);
                 });
}

TEST(RequestFields, WholeNumbersOfAcceptedOnesMayBeWrittenAsFractions) {
  for (const double number : {5.0, -1e30}) EXPECT_FALSE(send(kChatFields, "n_discard", number).error);
  EXPECT_TRUE(send(kChatFields, "n_discard", 5.5).error);
}

TEST(RequestFields, RefusedOnesAreNamedUnlessTheyAskForNothing) {
  for_each_field(FieldUse::refused, [](FieldObject kind, const RequestField& field, const std::string& path) {
    const Outcome refused = send(kind, field.name, json::parse(field.example));
    ASSERT_TRUE(refused.error) << "is taken";
    EXPECT_EQ(refused.error->status, 400);
    EXPECT_EQ(refused.error->code, "unsupported_parameter");
    EXPECT_EQ(refused.error->param, path);
    json::array nothing{nullptr};
    const json::value neutral = json::parse(field.neutral.empty() ? "[]" : field.neutral);
    for (const json::value& value : neutral.get_array()) nothing.push_back(value);
    for (const json::value& value : nothing) {
      const Outcome good = send(kind, field.name, value);
      EXPECT_FALSE(good.error) << json::serialize(value) << ": " << good.error->message;
    }
  });
}

TEST(RequestFields, AnObjectHasEachNameOnce) {
  for (const FieldObject kind : kObjects) {
    std::set<std::string_view> names;
    for (const RequestField& field : request_fields()) {
      if ((field.objects & kind) == 0) continue;
      EXPECT_TRUE(names.insert(field.name).second) << field.name;
    }
    EXPECT_GE(names.size(), 1u) << name_of(kind);
  }
}

TEST(RequestFields, UnknownOnesAreRefusedWithTheNearestName) {
  for (const FieldObject kind : kObjects) {
    SCOPED_TRACE(name_of(kind));
    const std::string_view known =
        std::find_if(request_fields().begin(), request_fields().end(), [&](const auto& f) {
          return (f.objects & kind) != 0 && f.name.size() > 3;
        })->name;
    const std::string name = std::string(known) + "_";
    const Outcome refused = send(kind, name, 1);
    ASSERT_TRUE(refused.error) << "is taken";
    EXPECT_EQ(refused.error->code, "unknown_parameter");
    EXPECT_EQ(refused.error->param, place_of(kind, name).path + name);
    EXPECT_NE(refused.error->message.find(message("did you mean '", known, "'?")), std::string::npos)
        << refused.error->message;
    EXPECT_FALSE(send(kind, name, nullptr).error);

    NetOptions warns;
    warns.unknown_fields = "warn";
    const Outcome warned = send(kind, name, 1, warns);
    EXPECT_FALSE(warned.error);
    EXPECT_NE(warned.warning.find(name), std::string::npos) << warned.warning;
  }
}

TEST(RequestFields, AWarningIsShortAndPlain) {
  NetOptions warns;
  warns.unknown_fields = "warn";
  std::string body = R"({"messages":[{"role":"user","content":"hi"}])";
  for (int i = 0; i < 100; ++i) body += message(",\"x\xC3\xA9\\r\\n", i, std::string(200, 'y'), "\":1");
  const Outcome warned = outcome_of(parse_call(Endpoint::chat, body + "}", kThinkingModel, warns));
  ASSERT_FALSE(warned.error) << warned.error->message;
  EXPECT_LT(warned.warning.size(), 1500u);
  EXPECT_TRUE(warned.warning.ends_with("...")) << warned.warning;
  for (const char c : warned.warning) EXPECT_TRUE(c >= 0x20 && c < 0x7f);
}

TEST(RequestFields, OnlyVariablesOfTheTemplateAreTaken) {
  const auto sent = [](const char* variables, const NetOptions& options = {}) {
    return parse_call(
        Endpoint::chat,
        message(R"({"messages":[{"role":"user","content":"hi"}],"chat_template_kwargs":)", variables, "}"),
        kThinkingModel, options);
  };
  EXPECT_EQ(std::get<Call>(sent(R"({"enable_thinking":false})")).requests[0].template_variables,
            R"({"enable_thinking":false})");
  EXPECT_EQ(std::get<Call>(sent("{}")).requests[0].template_variables, "");
  for (const char* name : {"enable_thinkin", "messages", "add_generation_prompt"}) {
    const ApiError error = std::get<ApiError>(sent(message("{\"", name, "\":1}").c_str()));
    EXPECT_EQ(error.code, "unknown_parameter");
    EXPECT_EQ(error.param, message("chat_template_kwargs.", name));
    EXPECT_NE(error.message.find("enable_thinking"), std::string::npos);
  }
  NetOptions warns;
  warns.unknown_fields = "warn";
  const Call call = std::get<Call>(sent(R"({"messages":[],"enable_thinking":true})", warns));
  EXPECT_EQ(call.requests[0].template_variables, R"({"enable_thinking":true})");
  EXPECT_NE(call.warning.find("chat_template_kwargs.messages"), std::string::npos);
}

TEST(OpenApi, HoldsEveryFieldOfTheList) {
  const json::value document = json::parse(openapi_json({}, &kThinkingModel));
  const json::object& schemas = document.at("components").at("schemas").as_object();
  const std::pair<FieldObject, const char*> names[] = {
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
  for (const auto& [kind, name] : names) {
    const json::object& schema = schemas.at(name).as_object();
    size_t fields = 0;
    for (const RequestField& field : request_fields()) {
      if ((field.objects & kind) == 0) continue;
      const char* list = field.use == FieldUse::refused ? "x-refused" : "properties";
      EXPECT_TRUE(schema.at(list).as_object().contains(field.name)) << name << " " << field.name;
      ++fields;
    }
    EXPECT_EQ(schema.at("properties").as_object().size() + schema.at("x-refused").as_object().size(), fields);
    EXPECT_EQ(schema.at("additionalProperties"), false);
  }
  NetOptions warns;
  warns.unknown_fields = "warn";
  EXPECT_FALSE(json::parse(openapi_json(warns, nullptr))
                   .at("components")
                   .at("schemas")
                   .at("Chat")
                   .as_object()
                   .contains("additionalProperties"));
}

TEST(OpenApi, SaysWhatIsTakenBesidesTypes) {
  const auto property = [](const ModelInfo* model, const char* schema, const char* name) {
    return json::parse(openapi_json({}, model))
        .at("components")
        .at("schemas")
        .at(schema)
        .at("properties")
        .at(name)
        .as_object();
  };
  ModelInfo model = model_with_variables();
  model.aliases = {"other"};
  EXPECT_EQ(property(&model, "Chat", "model").at("enum"), (json::array{"fake", "other", nullptr}));
  EXPECT_FALSE(property(nullptr, "Chat", "model").contains("enum"));
  EXPECT_EQ(property(&model, "Detokenize", "tokens").at("type"), json::array{"array"});
  EXPECT_EQ(property(&model, "Detokenize", "tokens").at("items").at("maximum"), 999);
  EXPECT_EQ(property(&model, "ResponseTool", "type").at("enum"), json::array{"function"});
  EXPECT_EQ(property(&model, "Chat", "temperature").at("maximum"), 2.0);
  const json::object bias = property(&model, "Chat", "logit_bias");
  EXPECT_EQ(bias.at("propertyNames").at("pattern"), "^([0-9]|[1-9][0-9]{1}|[1-9][0-9]{2})$");
  EXPECT_EQ(json::parse(openapi_json({}, &model))
                .at("components")
                .at("schemas")
                .at("Tokenize")
                .at("oneOf")
                .as_array()
                .size(),
            2u);
  model.tools = ToolForm::none;
  EXPECT_EQ(property(&model, "Chat", "tools").at("maxItems"), 0);
}

TEST(RequestFields, ThePageNamesEachOfThem) {
  const std::string page = request_fields_page();
  for (const RequestField& field : request_fields()) {
    EXPECT_NE(page.find(message('`', field.name, '`')), std::string::npos) << field.name;
  }
}

}  // namespace
}  // namespace uhd
