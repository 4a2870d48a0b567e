// Tools of a call: what the template is shown, what the answer must be, and how calls are answered.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "base/error.h"
#include "net/openai.h"

namespace uhd {
namespace {

namespace json = boost::json;
using ::testing::HasSubstr;

ModelInfo model_of(ToolForm form) {
  ModelInfo model{"fake", "text", false, 2048, 1000};
  model.max_text_bytes = 2500;
  model.tools = form;
  return model;
}

constexpr const char* kTools =
    R"("tools":[{"type":"function","function":{"name":"get_weather","description":"d","parameters":{"type":"object","properties":{"city":{"type":"string"}}}}},{"type":"function","function":{"name":"stop"}}])";
constexpr const char* kMessages = R"("messages":[{"role":"user","content":"hi"}])";

std::variant<Call, ApiError> parse(const std::string& fields, ToolForm form = ToolForm::hermes) {
  return parse_call(Endpoint::chat, '{' + fields + '}', model_of(form), {});
}
Call good(const std::string& fields, ToolForm form = ToolForm::hermes) {
  auto parsed = parse(fields, form);
  if (const auto* error = std::get_if<ApiError>(&parsed)) throw Error(error->param + ": " + error->message);
  return std::get<Call>(std::move(parsed));
}
std::string with_tools(const std::string& more) { return message(kMessages, ',', kTools, more); }

TEST(Tools, AreShownToTheTemplate) {
  const Call call = good(with_tools(""));
  EXPECT_EQ(call.tools, ToolForm::hermes);
  EXPECT_TRUE(call.parallel_calls);
  EXPECT_FALSE(call.requests[0].sampling.grammar);
  EXPECT_EQ(json::parse(call.requests[0].tools).as_array().size(), 2u);
  EXPECT_FALSE(good(with_tools(R"(,"parallel_tool_calls":false)")).parallel_calls);
}

TEST(Tools, NoneLeavesThemOut) {
  for (const std::string& fields :
       {with_tools(R"(,"tool_choice":"none")"), message(kMessages, R"(,"tools":[])"),
        message(kMessages, R"(,"tool_choice":"auto")")}) {
    const Call call = good(fields);
    EXPECT_EQ(call.requests[0].tools, "") << fields;
    EXPECT_EQ(call.tools, ToolForm::none);
  }
}

TEST(Tools, RequiredAndNamedOnesAreHeldByAGrammar) {
  const auto format = [](const std::string& choice, ToolForm form) {
    const Call call = good(with_tools(message(",\"tool_choice\":", choice)), form);
    EXPECT_EQ(call.requests[0].sampling.grammar->kind, GrammarKind::structural_tag);
    return json::parse(call.requests[0].sampling.grammar->text).at("format");
  };
  const json::value all = format(R"("required")", ToolForm::hermes);
  EXPECT_EQ(all.at("tags").as_array().size(), 2u);
  EXPECT_EQ(all.at("tags").as_array()[0].at("begin").as_string(),
            "<tool_call>\n{\"name\": \"get_weather\", \"arguments\": ");
  EXPECT_FALSE(all.at("stop_after_first").as_bool());
  const json::value one = format(R"({"type":"function","function":{"name":"stop"}})", ToolForm::llama3);
  EXPECT_EQ(one.at("tags").as_array().size(), 1u);
  EXPECT_EQ(one.at("tags").as_array()[0].at("begin").as_string(), "{\"name\": \"stop\", \"parameters\": ");
  EXPECT_TRUE(one.at("stop_after_first").as_bool());
}

std::string strict_tools(const std::string& more) {
  return message(
      kMessages,
      R"(,"tools":[{"type":"function","function":{"name":"f","strict":true,"description":"d","parameters":{}}},)",
      R"({"type":"function","function":{"name":"g","parameters":{"not":{}}}}])", more);
}

TEST(Tools, StrictOnesAreHeldInFreeText) {
  const Call hermes = good(strict_tools(""));
  EXPECT_EQ(hermes.held_tools, std::vector<std::string>{"f"});
  EXPECT_EQ(hermes.places.rule, "tools[0].function.strict");
  EXPECT_TRUE(hermes.requests[0].tools.starts_with(
      R"([{"type":"function","function":{"name":"f","description":"d","parameters":{}}},)"))
      << "the model is not shown it, and sees the others in their order";
  const json::value format = json::parse(hermes.requests[0].sampling.grammar->text).at("format");
  EXPECT_EQ(format.at("type").as_string(), "triggered_tags");
  EXPECT_EQ(json::serialize(format.at("triggers")), R"(["<tool_call>"])");
  EXPECT_EQ(format.at("tags").as_array().size(), 2u);
  EXPECT_FALSE(format.at("stop_after_first").as_bool());
  const auto schema = [&](size_t tag) {
    return json::serialize(format.at("tags").as_array()[tag].at("content").at("json_schema"));
  };
  EXPECT_EQ(schema(0), R"({"type":"object"})");
  EXPECT_EQ(schema(1), R"({"type":"object","additionalProperties":true})") << "it is not strict";

  const Call llama = good(strict_tools(R"(,"parallel_tool_calls":false)"), ToolForm::llama3);
  const json::value one = json::parse(llama.requests[0].sampling.grammar->text).at("format");
  EXPECT_EQ(json::serialize(one.at("triggers")), R"(["\"name\": \"f\", \"parameters\": "])");
  EXPECT_EQ(one.at("tags").as_array().size(), 1u);
  EXPECT_TRUE(one.at("stop_after_first").as_bool());

  EXPECT_FALSE(good(strict_tools(R"(,"tool_choice":"none")")).requests[0].sampling.grammar);
}

TEST(Tools, AnAnswerMayBeCallsOrHaveAFormat) {
  const std::string rule =
      R"(,"response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{"type":"integer"}}})";
  const Call call = good(strict_tools(rule));
  EXPECT_EQ(call.places.rule, "response_format.json_schema.schema");
  EXPECT_EQ(call.held_tools, call.tool_names);
  const json::value format = json::parse(call.requests[0].sampling.grammar->text).at("format");
  EXPECT_EQ(format.at("type").as_string(), "or");
  const json::array& either = format.at("elements").as_array();
  EXPECT_EQ(either.at(0).at("tags").as_array().size(), 2u);
  EXPECT_EQ(json::serialize(either.at(1).at("json_schema")), R"({"type":"integer"})");
  const Call none = good(strict_tools(rule + R"(,"tool_choice":"none")"));
  EXPECT_EQ(none.requests[0].sampling.grammar->kind, GrammarKind::json_schema);
  const Call required =
      good(strict_tools(rule + R"(,"tool_choice":{"type":"function","function":{"name":"f"}})"));
  EXPECT_EQ(required.places.rule, "tool_choice");
  // {"name": "f", "parameters": ...} may follow the rule, and be a call.
  const auto unmarked = parse(strict_tools(rule), ToolForm::llama3);
  EXPECT_EQ(std::get<ApiError>(unmarked).param, "tools[0].function.strict");
  EXPECT_FALSE(good(message(kMessages, R"(,"tools":[{"function":{"name":"f"}}])", rule), ToolForm::llama3)
                   .held_tools.empty());
}

TEST(Tools, AHistoryOfCallsIsRead) {
  const Call call = good(message(
      R"("messages":[{"role":"user","content":"hi"},{"role":"assistant","content":null,"tool_calls":[{"id":"c1","type":"function","function":{"name":"get_weather","arguments":"{\"city\": \"Paris\"}"}}]},{"role":"tool","tool_call_id":"c1","content":"sunny"}],)",
      kTools));
  const std::vector<Message>& messages = call.requests[0].messages;
  ASSERT_EQ(messages.size(), 3u);
  EXPECT_EQ(
      messages[1].tool_calls,
      R"([{"type":"function","function":{"name":"get_weather","arguments":{"city":"Paris"}},"id":"c1"}])");
  EXPECT_EQ(messages[2].role, "tool");
  EXPECT_EQ(messages[2].tool_call_id, "c1");
  EXPECT_EQ(messages[2].parts[0].text, "sunny");
}

TEST(Tools, ThoughtsAndNamesOfAHistoryAreRead) {
  const Call call = good(
      R"("messages":[{"role":"user","content":"hi","name":"Ann"},{"role":"assistant","reasoning_content":"so"},{"role":"assistant","content":"a","reasoning":"then","reasoning_content":"then"},{"role":"assistant","content":"b","reasoning":"last","reasoning_content":null}])");
  const std::vector<Message>& messages = call.requests[0].messages;
  EXPECT_EQ(messages.at(0).name, "Ann");
  EXPECT_EQ(messages.at(1).thoughts, "so");
  EXPECT_EQ(messages.at(2).thoughts, "then");
  EXPECT_EQ(messages.at(3).thoughts, "last");
  const auto refused = [](const std::string& fields) {
    return std::get<ApiError>(
        parse(message(R"("messages":[{"role":"assistant","content":"a",)", fields, "}]")));
  };
  EXPECT_EQ(refused(R"("reasoning":"one","reasoning_content":"two")").param, "messages[0].reasoning");
  for (const char* field : {"name", "reasoning", "reasoning_content"}) {
    const ApiError error = refused(message('"', field, "\":\"", std::string(2600, 'x'), '"'));
    EXPECT_EQ(error.code, "context_length_exceeded");
    EXPECT_EQ(error.param, message("messages[0].", field));
  }
}

TEST(Tools, WrongOnesAreNamed) {
  const auto of_call = [](const std::string& call) {
    return message(R"("messages":[{"role":"assistant","tool_calls":[)", call, "]}]");
  };
  const struct {
    std::string fields;
    const char* param;
  } cases[] = {
      {message(kMessages, R"(,"tools":[{"type":"retrieval","function":{"name":"f"}}])"), "tools[0].type"},
      {message(kMessages, R"(,"tools":[{"type":"custom","custom":{"name":"f"}}])"), "tools[0].type"},
      {with_tools(R"(,"tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"auto","tools":[]}})"),
       "tool_choice.type"},
      {message(kMessages, R"(,"tools":[{"function":{"name":"a b"}}])"), "tools[0].function.name"},
      {message(kMessages, R"(,"tools":[{"function":{"name":"f","parameters":"{}"}}])"),
       "tools[0].function.parameters"},
      {message(kMessages, R"(,"tool_choice":"required")"), "tool_choice"},
      {with_tools(R"(,"tool_choice":"sometimes")"), "tool_choice"},
      {with_tools(R"(,"tool_choice":{"type":"function","function":{"name":"other"}})"),
       "tool_choice.function.name"},
      {message(kMessages, R"(,"tools":[{"function":{"name":"f","strict":1}}])"), "tools[0].function.strict"},
      {message(kMessages, R"(,"tools":[{"function":{"name":"f","strict":true,"parameters":{"not":{}}}}])"),
       "tools[0].function.parameters.not"},
      {message(kMessages,
               R"(,"tools":[{"function":{"name":"f","strict":true,"parameters":{"type":"string"}}}])"),
       "tools[0].function.parameters.type"},
      {with_tools(R"(,"structural_tag":{"type":"structural_tag"})"), "structural_tag"},
      {message(kMessages,
               R"(,"tools":[{"function":{"name":"f","parameters":{"not":{}}}}],"tool_choice":"required")"),
       "tools[0].function.parameters.not"},
      {of_call(R"({"function":{"name":"f","arguments":"[]"}})"),
       "messages[0].tool_calls[0].function.arguments"},
      {of_call(R"({"function":{"name":"f","arguments":"{"}})"),
       "messages[0].tool_calls[0].function.arguments"},
      {of_call(R"({"type":"custom","function":{"name":"f"}})"), "messages[0].tool_calls[0].type"},
      {R"("messages":[{"role":"user","content":"a","tool_calls":[{"function":{"name":"f"}}]}])",
       "messages[0].tool_calls"},
      {R"("messages":[{"role":"user","content":"a","tool_call_id":"c"}])", "messages[0].tool_call_id"},
      {R"("messages":[{"role":"tool","content":"a"}])", "messages[0].tool_call_id"},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.fields);
    const auto parsed = parse(c.fields);
    ASSERT_TRUE(std::holds_alternative<ApiError>(parsed));
    EXPECT_EQ(std::get<ApiError>(parsed).param, c.param) << std::get<ApiError>(parsed).message;
  }
}

TEST(Tools, AModelWithoutThemRefusesByName) {
  const auto parsed = parse(with_tools(""), ToolForm::none);
  EXPECT_EQ(std::get<ApiError>(parsed).code, "unsupported_parameter");
  EXPECT_EQ(std::get<ApiError>(parsed).param, "tools");
}

TEST(Tools, JsonInTextsHasTheLimitsOfABody) {
  const auto history = [](const std::string& arguments, int calls) {
    std::string list;
    for (int i = 0; i < calls; ++i) {
      list += message(i > 0 ? "," : "", R"({"function":{"name":"f","arguments":")", arguments, "\"}}");
    }
    return message(R"({"messages":[{"role":"assistant","tool_calls":[)", list, "]}]}");
  };
  NetOptions few;
  few.max_json_values = 60;
  const auto code = [&](const std::string& body, const NetOptions& limits) {
    const auto parsed = parse_call(Endpoint::chat, body, model_of(ToolForm::hermes), limits);
    return std::holds_alternative<Call>(parsed) ? std::string() : std::get<ApiError>(parsed).code;
  };
  const std::string ten = R"({\"a\":[1,1,1,1,1,1,1]})";
  EXPECT_EQ(code(history(ten, 3), few), "");
  EXPECT_EQ(code(history(ten, 7), few), "too_many_values") << "all texts of a call count";
  const auto deep = [](int depth) {
    return R"({\"a\":)" + std::string(static_cast<size_t>(depth), '[') +
           std::string(static_cast<size_t>(depth), ']') + '}';
  };
  EXPECT_EQ(code(history(deep(20), 1), {}), "");
  EXPECT_EQ(code(history(deep(26), 1), {}), "invalid_value");
  EXPECT_EQ(code(history(R"({\"a\":\")" + std::string(3000, 'x') + R"(\"})", 1), {}),
            "context_length_exceeded");
}

TokenEvent text_event(const std::string& text, FinishReason finish = FinishReason::none) {
  TokenEvent event;
  event.text = text;
  event.ids = {1};
  event.finish = finish;
  if (finish != FinishReason::none) event.usage = Usage{};
  return event;
}

const std::vector<std::string> kAnswer = {"Wait.\n<tool", "_call>\n{\"name\": \"get_weather\", \"argu",
                                          "ments\": {\"city\": ", "\"Paris\"}}\n</tool_call>"};

TEST(Tools, AnAnswerHoldsItsCalls) {
  ReplyWriter writer(good(with_tools("")), "chatcmpl-7", 1);
  for (size_t i = 0; i < kAnswer.size(); ++i) {
    writer.take(0, text_event(kAnswer[i], i + 1 == kAnswer.size() ? FinishReason::stop : FinishReason::none));
  }
  const json::value choice = json::parse(writer.body()).at("choices").as_array()[0];
  EXPECT_EQ(choice.at("finish_reason").as_string(), "tool_calls");
  EXPECT_EQ(choice.at("message").at("content").as_string(), "Wait.");
  const json::value call = choice.at("message").at("tool_calls").as_array().at(0);
  EXPECT_EQ(
      json::serialize(call),
      R"({"id":"call_chatcmpl-7_0_0","type":"function","function":{"name":"get_weather","arguments":"{\"city\": \"Paris\"}"}})");
}

TEST(Tools, AStreamHoldsItsCallsInPieces) {
  ReplyWriter writer(good(with_tools(R"(,"stream":true)")), "chatcmpl-7", 1);
  std::string frames;
  for (size_t i = 0; i < kAnswer.size(); ++i) {
    frames += writer.take(
        0, text_event(kAnswer[i], i + 1 == kAnswer.size() ? FinishReason::stop : FinishReason::none));
  }
  EXPECT_THAT(
      frames,
      HasSubstr(
          R"("delta":{"tool_calls":[{"index":0,"id":"call_chatcmpl-7_0_0","type":"function","function":{"arguments":"","name":"get_weather"}}]})"));
  EXPECT_THAT(frames,
              HasSubstr(R"("delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"city\": "}}]})"));
  EXPECT_THAT(frames,
              HasSubstr(R"("delta":{"tool_calls":[{"index":0,"function":{"arguments":"\"Paris\"}"}}]})"));
  EXPECT_THAT(frames, HasSubstr(R"("finish_reason":"tool_calls")"));
  EXPECT_EQ(frames.find("<tool_call>"), std::string::npos);
}

}  // namespace
}  // namespace uhd
