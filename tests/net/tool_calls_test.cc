// Calls of tools in the text of answers, whole and in pieces of every size.
#include "net/tool_calls.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

namespace uhd {
namespace {

using ::testing::ElementsAre;
using namespace std::string_literals;

struct Heard {
  std::string text;
  std::vector<std::string> calls;  // name(arguments)
};

// Feeds an answer in pieces of so many bytes.
Heard heard(ToolForm form, std::string_view answer, size_t piece, bool parallel = true) {
  ToolSplitter splitter(form, parallel, {"f", "g", "a", "b", "get_weather"});
  Heard out;
  for (size_t at = 0; at <= answer.size(); at += piece) {
    const bool last = at + piece > answer.size();
    const auto parts = splitter.take(answer.substr(at, piece), last);
    out.text += parts.text();
    for (const ToolDelta& p : parts.pieces()) {
      EXPECT_EQ(p.begins, !p.name.empty());
      if (p.begins) {
        EXPECT_EQ(p.call, out.calls.size()) << "a call begins once, in order";
        out.calls.push_back(p.name + '(');
      }
      EXPECT_LT(p.call, out.calls.size());
      if (p.call < out.calls.size()) out.calls[p.call] += p.arguments;
    }
  }
  for (std::string& call : out.calls) call += ')';
  return out;
}

void expect_all(ToolForm form, std::string_view answer, const std::string& text,
                const std::vector<std::string>& calls) {
  for (size_t piece = 1; piece <= answer.size() + 1; ++piece) {
    const Heard got = heard(form, answer, piece);
    ASSERT_EQ(got.text, text) << answer << " in pieces of " << piece;
    ASSERT_EQ(got.calls, calls) << answer << " in pieces of " << piece;
  }
}

TEST(ToolCalls, Hermes) {
  // Qwen2.5 and Qwen3 write them so.
  expect_all(ToolForm::hermes,
             "<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Paris\", \"days\": [1, "
             "2]}}\n</tool_call>",
             "", {R"(get_weather({"city": "Paris", "days": [1, 2]}))"});
  expect_all(ToolForm::hermes,
             "Let me look.\n\n<tool_call>\n{\"name\": \"a\", \"arguments\": {}}\n</tool_call>\n"
             "<tool_call>\n{\"name\": \"b\", \"arguments\": {\"x\": \"}</tool_call>\\\"{\"}}\n</tool_call>\n",
             "Let me look.", {"a({})", R"(b({"x": "}</tool_call>\"{"}))"});
}

TEST(ToolCalls, TextStaysText) {
  for (const char* text :
       {"plain", "a < b and <tool> and <tool_cal", "  spaces  \n", "", "{\"name\": \"f\"}"}) {
    expect_all(ToolForm::hermes, text, text, {});
  }
  for (const char* text :
       {"plain {\"name\": \"f\", \"parameters\": {}}", " {\"answer\": 42}", "{", "{}", "  \n",
        "<|python_tag|> {\"a\": 1}", "{\"name\": \"f\"}", R"({"name": "Alice", "parameters": {"age": 7}})"}) {
    expect_all(ToolForm::llama3, text, text, {});
  }
  expect_all(ToolForm::none, "<tool_call>{}</tool_call>", "<tool_call>{}</tool_call>", {});
}

TEST(ToolCalls, Llama3) {
  expect_all(ToolForm::llama3, R"({"name": "get_weather", "parameters": {"city": "Paris"}})", "",
             {R"(get_weather({"city": "Paris"}))"});
  expect_all(ToolForm::llama3, R"( {"name":"a","parameters":{}}; {"name":"b","parameters":{"c":{}}})", "",
             {"a({})", R"(b({"c":{}}))"});
}

TEST(ToolCalls, OtherOrdersAndBrokenOnes) {
  expect_all(ToolForm::hermes, "<tool_call>{\"arguments\": {\"a\":1}, \"name\": \"f\"}</tool_call>", "",
             {R"(f({"a":1}))"});
  expect_all(ToolForm::hermes, "<tool_call>{\"name\": \"f\", \"arguments\": \"{}\"}</tool_call>", "",
             {"f({})"});
  expect_all(ToolForm::hermes, "<tool_call>{\"name\": \"f\"}</tool_call>", "", {"f({})"});
  expect_all(ToolForm::hermes, "<tool_call>nonsense</tool_call> and on",
             "<tool_call>nonsense</tool_call> and on", {});
  expect_all(ToolForm::hermes, "<tool_call>{\"name\": ", "<tool_call>{\"name\": ", {});
  // Cut by max_tokens: what is there was given on.
  expect_all(ToolForm::hermes, "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": [1,", "",
             {R"(f({"a": [1,))"});
}

TEST(ToolCalls, ACallWithoutANameIsText) {
  for (const char* text : {R"(<tool_call>{"name": "", "arguments": {}}</tool_call>)",
                           R"(<tool_call>{"arguments": {}, "name": ""}</tool_call>)"}) {
    expect_all(ToolForm::hermes, text, text, {});
  }
  expect_all(ToolForm::llama3, R"({"name": "", "parameters": {}})", R"({"name": "", "parameters": {}})", {});
}

TEST(ToolCalls, AHeldOneWithoutMarksIsWrittenAsTheGrammarKnowsIt) {
  const auto calls = [](ToolForm form, const std::string& answer) {
    ToolSplitter splitter(form, true, {"f", "g"}, {"f"});
    const auto parts = splitter.take(answer, true);
    EXPECT_NE(parts.text().empty(), parts.pieces().empty()) << answer;
    return splitter.calls();
  };
  EXPECT_EQ(calls(ToolForm::llama3, R"({"name": "f", "parameters": {"a": 1}})"), 1u);
  EXPECT_EQ(calls(ToolForm::llama3, R"({"type": "function", "name": "f", "parameters": {}})"), 1u);
  EXPECT_EQ(calls(ToolForm::hermes, R"({"name": "f", "arguments": {"a": 1}})"), 0u) << "without marks";
  EXPECT_EQ(calls(ToolForm::hermes, "<tool_call>{\"name\": \"f\", \"arguments\": {}}</tool_call>"), 1u);
  for (const char* other : {R"({"name":"f", "parameters": {}})", R"({"name": "f", "parameters":{}})",
                            R"({"name": "f", "arguments": {}})", R"({"parameters": {}, "name": "f"})",
                            R"({"name": "f", "parameters": "{}"})"}) {
    EXPECT_EQ(calls(ToolForm::llama3, other), 0u) << other;
  }
  EXPECT_EQ(calls(ToolForm::hermes, R"({"arguments":{},"name":"g"})"), 1u) << "the other one is not held";
}

TEST(ToolCalls, LlamaMayTellTheTypeFirst) {
  expect_all(ToolForm::llama3, R"({"type": "function", "name": "f", "parameters": {"a": 1}})", "",
             {R"(f({"a": 1}))"});
  const std::string other = R"({"type": "text", "name": "f", )";
  expect_all(ToolForm::llama3, other, other, {});
}

TEST(ToolCalls, AnAnswerThatBeginsWithACallNeedsNoMarks) {
  const std::string call = R"({"name": "f", "arguments": {"a": "}"}})";
  expect_all(ToolForm::hermes, '\n' + call + '\n' + call + '\n', "",
             {R"(f({"a": "}"}))", R"(f({"a": "}"}))"});
  for (const std::string& text : {"I call " + call, R"({"name": "f", "age": {}})"s, R"({"name": "f", "arg)"s,
                                  R"({"name": "Bob", "arguments": ["for"]})"s, "{"s}) {
    expect_all(ToolForm::hermes, text, text, {});
  }
  expect_all(ToolForm::hermes, R"({"name": "Alice", "arguments": {"age": 7}} is 7.)",
             R"({"name": "Alice", "arguments": {"age": 7}} is 7.)", {});
  expect_all(ToolForm::hermes, R"({} <tool_call>{"name": "f", "arguments": {}}</tool_call>)", "{}",
             {"f({})"});
}

TEST(ToolCalls, WhatFollowsACallWithoutMarksIsReadAsElsewhere) {
  const std::string call = R"({"name": "f", "arguments": {}})";
  const std::string marked = "<tool_call>\n{\"name\": \"g\", \"arguments\": {}}\n</tool_call>";
  const std::vector<std::string> both{"f({})", "g({})"};
  expect_all(ToolForm::hermes, call + '\n' + marked, "", both);
  expect_all(ToolForm::hermes, call + "\n</tool_call>\n" + marked, "", both);
  expect_all(ToolForm::hermes, call + "\n</tool_call>", "", {"f({})"});
  expect_all(ToolForm::hermes, call + "\nand " + marked, "and", both);
  const std::string prose = R"(This sends {"name": "g", "arguments": {"q": 1}} to it)";
  for (const ToolForm form : {ToolForm::hermes, ToolForm::llama3}) {
    expect_all(form, call + '\n' + prose, prose, {"f({})"});
    expect_all(form, R"({"name": "f", "arguments": {}, "id": {"a": "}"}}; on)",
               form == ToolForm::llama3 ? "on" : "; on", {"f({})"});
    expect_all(form, R"({"name": "f", "arguments": {}, and now I explain)", ", and now I explain", {"f({})"});
    expect_all(form, R"({"name": "f", "arguments": {}, "so" it is)", R"(, "so" it is)", {"f({})"});
    expect_all(form, R"({"arguments": {"a": "{"}, "name": "f"} then)", "then", {R"(f({"a":"{"}))"});
  }
}

TEST(ToolCalls, WhatIsNotToldApartWithinABoundIsText) {
  for (const std::string& begin : {R"({"arguments": {"a": ")"s, R"({"name": ")"s}) {
    const std::string text = begin + std::string(40000, 'x') + "\"}, \"name\": \"f\"}";
    for (const size_t piece : {size_t{7}, size_t{1000}, text.size() + 1}) {
      const Heard got = heard(ToolForm::llama3, text, piece);
      EXPECT_TRUE(got.text == text && got.calls.empty()) << begin << " in pieces of " << piece;
    }
  }
}

TEST(ToolCalls, MayHaveASecondPairOfBraces) {
  expect_all(ToolForm::hermes, R"(a<tool_call>{ {"name": "f", "arguments": {"a": {}}}}</tool_call>b)", "ab",
             {R"(f({"a": {}}))"});
  expect_all(ToolForm::llama3, R"({{"name": "f", "parameters": {}}}; {"name": "g", "parameters": {}})", "",
             {"f({})", "g({})"});
  for (const char* text : {R"(<tool_call>{{{"name": "f", "arguments": {}}}}</tool_call>)",
                           "<tool_call>{{ name }}</tool_call>", "<tool_call>{{"}) {
    expect_all(ToolForm::hermes, text, text, {});
  }
}

TEST(ToolCalls, LlamaMayBeginWithItsTag) {
  expect_all(ToolForm::llama3, "<|python_tag|> {\"name\": \"f\", \"parameters\": {}}", "", {"f({})"});
  for (const char* text : {"<|pyth", "<|python_tag|>", "<|python_tag|>print(1)", "<|pythons|>",
                           "a<|python_tag|>{\"name\": \"f\", \"parameters\": {}}"}) {
    expect_all(ToolForm::llama3, text, text, {});
  }
}

TEST(ToolCalls, WhatFollowsACallWithoutAnEndIsText) {
  const std::string call = R"(<tool_call>{"name": "f", "arguments": {}})";
  expect_all(ToolForm::hermes, call + "\nThat is all.", "That is all.", {"f({})"});
  expect_all(ToolForm::hermes, call + call + "</tool_call>", "", {"f({})", "f({})"});
  expect_all(ToolForm::hermes, call + "</tool_", "", {"f({})"});
  expect_all(ToolForm::hermes, R"(<tool_call>{"name": "f", "arguments": {}, "id": {"a": 1}}</tool_call>on)",
             "on", {"f({})"});
  expect_all(ToolForm::llama3, R"({"name": "f", "parameters": {}} That is all.)", "That is all.", {"f({})"});
}

TEST(ToolCalls, HowAnAnswerIsCutChangesNothing) {
  const std::vector<std::string> fragments{"<tool_call>",
                                           "</tool_call>",
                                           "<|python_tag|>",
                                           R"({"name": "f", "arguments": {)",
                                           R"("a": [1, "}"])",
                                           "}",
                                           "}}",
                                           "{",
                                           ";",
                                           ",",
                                           "\n",
                                           " ",
                                           "text",
                                           R"({"parameters": {}, "name": "g"})",
                                           R"({"name": "f", "parameters": {}})",
                                           R"({"type": "function", "name": "f", )",
                                           R"("x": {"y": 1}})",
                                           "<tool"};
  std::mt19937 random(7);
  for (int round = 0; round < 4000; ++round) {
    std::string answer;
    for (size_t left = 1 + random() % 7; left > 0; --left) answer += fragments[random() % fragments.size()];
    for (const ToolForm form : {ToolForm::hermes, ToolForm::llama3}) {
      const Heard whole = heard(form, answer, answer.size() + 1);
      for (const size_t piece : {1, 2, 3, 7, 20}) {
        const Heard got = heard(form, answer, piece);
        ASSERT_EQ(got.text, whole.text) << answer << " in pieces of " << piece;
        ASSERT_EQ(got.calls, whole.calls) << answer << " in pieces of " << piece;
      }
    }
  }
}

TEST(ToolCalls, TextAndCallsKeepTheirOrder) {
  ToolSplitter splitter(ToolForm::hermes, true, {"f"});
  const auto parts =
      splitter.take(R"(a<tool_call>{"name": "f", "arguments": {}}</tool_call>b<tool_call>nonsense)", true);
  ASSERT_EQ(parts.list.size(), 4u);
  EXPECT_EQ(std::get<std::string>(parts.list[0]), "a");
  EXPECT_EQ(std::get<ToolDelta>(parts.list[1]).name, "f");
  EXPECT_EQ(std::get<ToolDelta>(parts.list[2]).arguments, "{}");
  EXPECT_EQ(std::get<std::string>(parts.list[3]), "b<tool_call>nonsense");
}

TEST(ToolCalls, OneOnlyIfAskedFor) {
  const std::string two =
      "<tool_call>{\"name\": \"a\", \"arguments\": {}}</tool_call><tool_call>{\"name\": \"b\", "
      "\"arguments\": {}}</tool_call>";
  EXPECT_THAT(heard(ToolForm::hermes, two, 3, false).calls, ElementsAre("a({})"));
  EXPECT_THAT(heard(ToolForm::hermes, two, 3, true).calls, ElementsAre("a({})", "b({})"));
}

}  // namespace
}  // namespace uhd
