// POST /v1/responses: what its call asks of a chat, and how the answer is written.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "base/error.h"
#include "net/openai.h"

namespace uhd {
namespace {

namespace json = boost::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

ModelInfo tool_model() {
  ModelInfo model{"fake", "llava-uhd-v1", true, 2048, 1000};
  model.tools = ToolForm::hermes;
  model.thinks = true;
  return model;
}

std::variant<Call, ApiError> parse_response(const std::string& body) {
  return parse_call(Endpoint::responses, body, tool_model(), {});
}
Call good_response(const std::string& body) {
  auto parsed = parse_response(body);
  if (const auto* error = std::get_if<ApiError>(&parsed)) throw Error(error->param + ": " + error->message);
  return std::get<Call>(std::move(parsed));
}
ApiError bad_response(const std::string& body) {
  auto parsed = parse_response(body);
  if (std::holds_alternative<Call>(parsed)) throw Error("is taken: " + body);
  return std::get<ApiError>(std::move(parsed));
}

TEST(Responses, ATextIsAQuestion) {
  const Call call = good_response(
      R"({"model":"fake","input":"hi","instructions":"be brief","max_output_tokens":7,"temperature":0.5})");
  const Request& request = call.requests.at(0);
  ASSERT_EQ(request.messages.size(), 2u);
  EXPECT_EQ(request.messages[0].role, "system");
  EXPECT_EQ(request.messages[0].parts[0].text, "be brief");
  EXPECT_EQ(request.messages[1].role, "user");
  EXPECT_EQ(request.messages[1].parts[0].text, "hi");
  EXPECT_EQ(request.stop.max_tokens, 7);
  EXPECT_FLOAT_EQ(request.sampling.temperature, 0.5f);
}

TEST(Responses, ItemsAreAConversation) {
  const Call call = good_response(R"({"input":[
      {"role":"user","content":[{"type":"input_text","text":"look"},
        {"type":"input_image","image_url":"data:image/png;base64,iVBORw0KGgo=","detail":"low"}]},
      {"type":"reasoning","id":"rs_1","summary":[]},
      {"type":"message","id":"msg_1","status":"completed","role":"assistant",
        "content":[{"type":"output_text","text":"I look.","annotations":[],"logprobs":[]}]},
      {"type":"function_call","id":"fc_1","call_id":"c1","name":"f","arguments":"{\"a\": 1}","status":"completed"},
      {"type":"function_call","call_id":"c2","name":"g","arguments":"{}"},
      {"type":"function_call_output","call_id":"c1","output":"one"},
      {"type":"function_call_output","call_id":"c2","output":[{"type":"input_text","text":"two"}]}],
    "tools":[{"type":"function","name":"f","parameters":{"type":"object"},"strict":true},{"type":"function","name":"g"}]})");
  const std::vector<Message>& m = call.requests.at(0).messages;
  ASSERT_EQ(m.size(), 4u);
  EXPECT_TRUE(m[0].parts.at(1).is_image());
  EXPECT_EQ(m[0].parts.at(1).rule.detail, ImageDetail::low);
  EXPECT_EQ(m[1].role, "assistant");
  EXPECT_EQ(m[1].parts.at(0).text, "I look.");
  EXPECT_EQ(json::parse(m[1].tool_calls).as_array().size(), 2u);
  EXPECT_EQ(m[2].tool_call_id, "c1");
  EXPECT_EQ(m[3].parts.at(0).text, "two");
  EXPECT_EQ(json::parse(call.requests[0].tools).at(0).at("function").at("name").as_string(), "f");
}

TEST(Responses, ThoughtsGoWithWhatFollowsThem) {
  const Call call = good_response(R"({"input":[
      {"role":"user","content":"hi"},
      {"type":"reasoning","id":"rs_1","summary":[{"type":"summary_text","text":"short"}],
        "content":[{"type":"reasoning_text","text":"I a"},{"type":"reasoning_text","text":"sk f"}]},
      {"type":"function_call","call_id":"c1","name":"f","arguments":"{}"},
      {"type":"reasoning","content":[{"type":"reasoning_text","text":"and g"}]},
      {"type":"function_call","call_id":"c2","name":"g","arguments":"{}"},
      {"type":"function_call_output","call_id":"c1","output":"one"},
      {"type":"function_call_output","call_id":"c2","output":"two"},
      {"type":"reasoning","content":[{"type":"reasoning_text","text":"so"}]},
      {"role":"assistant","content":"yes"},
      {"type":"reasoning","content":[{"type":"reasoning_text","text":"cut"}]},
      {"role":"user","content":"go on"},{"role":"assistant","content":"no"}]})");
  std::vector<std::string> thoughts;
  for (const Message& m : call.requests.at(0).messages) thoughts.push_back(m.role + ": " + m.thoughts);
  EXPECT_THAT(thoughts, ElementsAre("user: ", "assistant: I ask f", "assistant: and g",
                                    "tool: ", "tool: ", "assistant: so", "user: ", "assistant: "));
  EXPECT_EQ(bad_response(R"({"input":[{"type":"reasoning","content":[{"text":5}]}]})").param,
            "input[0].content[0].text");
}

TEST(Responses, FormatsAndChoicesAreRead) {
  const Call formatted = good_response(
      R"({"input":"hi","text":{"format":{"type":"json_schema","name":"n","strict":true,"schema":{"type":"integer"}}}})");
  EXPECT_EQ(formatted.requests[0].sampling.grammar->kind, GrammarKind::json_schema);
  EXPECT_EQ(formatted.requests[0].sampling.grammar->text, R"({"type":"integer"})");
  EXPECT_FALSE(
      good_response(R"({"input":"hi","text":{"format":{"type":"text"}}})").requests[0].sampling.grammar);
  const Call chosen = good_response(
      R"({"input":"hi","tools":[{"type":"function","name":"f"}],"tool_choice":{"type":"function","name":"f"}})");
  EXPECT_THAT(chosen.requests[0].sampling.grammar->text, HasSubstr("\\\"f\\\""));
}

TEST(Responses, WhatTheEngineMayRefuseHasItsPlaceInTheCall) {
  const Call call = good_response(
      R"({"instructions":"i","input":[{"role":"user","content":"a"},{"role":"user","content":[{"type":"input_text","text":"b"},{"type":"input_image","image_url":"data:image/png;base64,iVBORw0KGgo="}]}],
      "text":{"format":{"type":"json_schema","name":"n","schema":{"type":"integer"}}}})");
  EXPECT_EQ(call.places.prompt, "input");
  EXPECT_EQ(call.places.rule, "text.format.schema");
  EXPECT_THAT(call.places.images, ElementsAre("input[1].content[1].image_url"));
  const Call strict = good_response(
      R"({"input":"hi","tools":[{"type":"function","name":"f"},{"type":"function","name":"g","strict":true}]})");
  EXPECT_EQ(strict.places.rule, "tools[1].strict");
}

TEST(Responses, FaultsAreNamedAsTheCallHasThem) {
  const std::pair<const char*, const char*> cases[] = {
      {R"({})", "input"},
      {R"({"input":[]})", "input"},
      {R"({"input":[{"role":"user","content":"a"},{"role":"robot","content":"x"}]})", "input[1].role"},
      {R"({"instructions":"i","input":[{"role":"user"}]})", "input[0].content"},
      {R"({"input":[{"type":"item_reference","id":"x"}]})", "input[0].type"},
      {R"({"input":[{"role":"user","content":[{"type":"input_file","file_id":"x"}]}]})",
       "input[0].content[0].type"},
      {R"({"input":[{"role":"user","content":[{"type":"input_image","image_url":"http://x/y.png"}]}]})",
       "input[0].content[0].image_url"},
      {R"({"input":[{"role":"user","content":[{"type":"input_image","image_url":"data:image/png;base64,iVBORw0KGgo=","detail":"huge"}]}]})",
       "input[0].content[0].detail"},
      {R"({"input":[{"type":"function_call","call_id":"c","name":"f","arguments":"["}]})",
       "input[0].arguments"},
      {R"({"input":[{"role":"user","content":"a","name":"Ann"}]})", "input[0].name"},
      {R"({"input":[{"role":"user","content":"a","output":"b"}]})", "input[0].output"},
      {R"({"input":[{"type":"function_call","call_id":"c","name":"f","arguments":"{}","content":"a"}]})",
       "input[0].content"},
      {R"({"input":[{"type":"function_call_output","call_id":"c","output":"a","arguments":"{}"}]})",
       "input[0].arguments"},
      {R"({"input":[{"type":"reasoning","encrypted_content":"x"}]})", "input[0].encrypted_content"},
      {R"({"input":[{"type":"reasoning","content":[],"effort":"low"}]})", "input[0].effort"},
      {R"({"input":"a","max_output_tokens":0})", "max_output_tokens"},
      {R"({"input":"a","store":true})", "store"},
      {R"({"input":"a","previous_response_id":"resp_1"})", "previous_response_id"},
      {R"({"input":"a","messages":[]})", "messages"},
      {R"({"input":"a","tools":[{"type":"web_search"}]})", "tools[0].type"},
      {R"({"input":"a","tools":[{"type":"function","name":"a b"}]})", "tools[0].name"},
      {R"({"input":"a","text":{"format":{"type":"json_schema"}}})", "text.format.schema"},
      {R"({"input":"a","text":{"format":{"type":"grammar"}}})", "text.format.type"},
  };
  for (const auto& [body, param] : cases) {
    SCOPED_TRACE(body);
    const ApiError error = bad_response(body);
    EXPECT_EQ(error.status, 400);
    EXPECT_THAT(error.param, testing::StartsWith(param)) << error.message;
    EXPECT_THAT(error.message, testing::Not(HasSubstr("messages["))) << error.message;
  }
}

TokenEvent piece(const std::string& text, FinishReason finish = FinishReason::none) {
  TokenEvent event;
  event.text = text;
  event.ids = {1};
  event.finish = finish;
  if (finish != FinishReason::none) {
    event.usage = Usage{};
    event.usage->prompt_tokens = 3;
    event.usage->completion_tokens = 4;
  }
  return event;
}

const std::vector<std::string> kWholeAnswer = {
    "<think>",         "hm", "</think>", "Wait.", "\n<tool_call>{\"name\": \"f\", \"argu", "ments\": {\"a\":",
    " 1}}</tool_call>"};

std::string all_frames(ReplyWriter& writer, FinishReason finish) {
  std::string frames;
  for (size_t i = 0; i < kWholeAnswer.size(); ++i) {
    frames +=
        writer.take(0, piece(kWholeAnswer[i], i + 1 == kWholeAnswer.size() ? finish : FinishReason::none));
  }
  return frames;
}

constexpr const char* kAsked =
    R"({"input":"hi","metadata":{"k":"v"},"tools":[{"type":"function","name":"f"}],"stream":)";

TEST(Responses, AnAnswerHoldsItsItems) {
  ReplyWriter writer(good_response(std::string(kAsked) + "false}"), "7", 1);
  EXPECT_EQ(all_frames(writer, FinishReason::stop), "");
  const json::value body = json::parse(writer.body());
  EXPECT_EQ(body.at("id").as_string(), "resp_7");
  EXPECT_EQ(body.at("status").as_string(), "completed");
  EXPECT_EQ(body.at("metadata").at("k").as_string(), "v");
  EXPECT_EQ(body.at("usage").at("total_tokens").as_int64(), 7);
  const json::array& output = body.at("output").as_array();
  ASSERT_EQ(output.size(), 3u);
  EXPECT_EQ(output[0].at("content").at(0).at("text").as_string(), "hm");
  EXPECT_EQ(output[1].at("content").at(0).at("text").as_string(), "Wait.");
  EXPECT_EQ(output[2].at("type").as_string(), "function_call");
  EXPECT_EQ(output[2].at("arguments").as_string(), R"({"a": 1})");
}

TEST(Responses, AStreamTellsEachItemFromItsBeginToItsEnd) {
  ReplyWriter writer(good_response(std::string(kAsked) + "true}"), "7", 1);
  const std::string frames = all_frames(writer, FinishReason::stop);
  std::vector<std::string> types;
  int64_t number = 0;
  std::string arguments;
  for (size_t at = 0; (at = frames.find("event: ", at)) != std::string::npos; ++at) {
    const size_t line = frames.find('\n', at);
    types.push_back(frames.substr(at + 7, line - at - 7));
    const size_t data = line + 7;
    const json::value event = json::parse(frames.substr(data, frames.find("\n\n", data) - data));
    EXPECT_EQ(event.at("type").as_string(), types.back());
    EXPECT_EQ(event.at("sequence_number").as_int64(), number++);
    if (types.back() == "response.function_call_arguments.delta") arguments += event.at("delta").as_string();
  }
  EXPECT_EQ(arguments, R"({"a": 1})");
  EXPECT_THAT(
      types,
      ElementsAre("response.created", "response.in_progress", "response.output_item.added",
                  "response.content_part.added", "response.reasoning_text.delta",
                  "response.reasoning_text.done", "response.content_part.done", "response.output_item.done",
                  "response.output_item.added", "response.content_part.added", "response.output_text.delta",
                  "response.output_text.done", "response.content_part.done", "response.output_item.done",
                  "response.output_item.added", "response.function_call_arguments.delta",
                  "response.function_call_arguments.delta", "response.function_call_arguments.done",
                  "response.output_item.done", "response.completed"));
}

TEST(Responses, OneThatIsCutIsIncomplete) {
  ReplyWriter writer(good_response(std::string(kAsked) + "false}"), "7", 1);
  all_frames(writer, FinishReason::length);
  const json::value body = json::parse(writer.body());
  EXPECT_EQ(body.at("status").as_string(), "incomplete");
  EXPECT_EQ(body.at("incomplete_details").at("reason").as_string(), "max_output_tokens");
}

TEST(Responses, ACallThatIsCutIsNeverToldAsWhole) {
  ReplyWriter writer(good_response(std::string(kAsked) + "true}"), "7", 1);
  const std::string frames =
      writer.take(0, piece("<tool_call>{\"name\": \"f\", \"arguments\": {\"a\":", FinishReason::length));
  EXPECT_EQ(frames.find("function_call_arguments.done"), std::string::npos);
  const size_t ended = frames.find("event: response.output_item.done");
  ASSERT_NE(ended, std::string::npos);
  EXPECT_THAT(frames.substr(ended, frames.find("\n\n", ended) - ended),
              HasSubstr(R"("status":"incomplete")"));
}

TEST(Responses, TextAndCallsOfOneEventKeepTheirOrder) {
  ReplyWriter writer(good_response(std::string(kAsked) + "false}"), "7", 1);
  writer.take(0, piece("a<tool_call>{\"name\": \"f\", \"arguments\": {}}</tool_call>b", FinishReason::stop));
  const json::array output = json::parse(writer.body()).at("output").as_array();
  ASSERT_EQ(output.size(), 3u);
  EXPECT_EQ(output[0].at("content").at(0).at("text").as_string(), "a");
  EXPECT_EQ(output[1].at("name").as_string(), "f");
  EXPECT_EQ(output[2].at("content").at(0).at("text").as_string(), "b");
}

TEST(Responses, ACallWithoutANameIsText) {
  for (const char* stream : {"true}", "false}"}) {
    ReplyWriter writer(good_response(std::string(kAsked) + stream), "7", 1);
    const std::string said = R"(<tool_call>{"name": "", "arguments": {"a": 1}}</tool_call>)";
    writer.take(0, piece(said, FinishReason::stop));
    const json::value item = json::parse(writer.body()).at("output").at(0);
    EXPECT_EQ(item.at("content").at(0).at("text").as_string(), said);
  }
}

TEST(Responses, AFieldOfChatsAloneIsLeftOutWhereItIsWarnedOf) {
  NetOptions warns;
  warns.unknown_fields = "warn";
  const auto parsed = parse_call(Endpoint::responses, R"({"input":"hi","n":2})", tool_model(), warns);
  const Call& call = std::get<Call>(parsed);
  EXPECT_EQ(call.n, 1);
  EXPECT_THAT(call.warning, HasSubstr("n"));
}

}  // namespace
}  // namespace uhd
