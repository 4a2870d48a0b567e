// Tools of a call, as the server reads them, behind XGrammar: which answers their grammars let through.
#include <gtest/gtest.h>

#include "base/error.h"
#include "engine/leader/grammars.h"
#include "net/openai.h"
#include "tests/model/tiny_tokenizer.h"

namespace uhd {
namespace {

constexpr int32_t kLast = 301;
constexpr int kVocabulary = 310;

constexpr const char* kStrict =
    R"({"type":"function","function":{"name":"f","strict":true,"parameters":{"type":"object","properties":{"n":{"type":"integer"}},"required":["n"],"additionalProperties":false}}})";
constexpr const char* kFree = R"({"type":"function","function":{"name":"g"}})";

// Returns the grammar of a call with both tools.
std::shared_ptr<const Grammar> grammar_for(ToolForm form, const std::string& more) {
  static const auto compiler =
      make_grammar_compiler(grammar_vocabulary(*tiny_byte_tokenizer(), kVocabulary, {kLast}));
  ModelInfo model{"fake", "text", false, 2048, 1000};
  model.max_text_bytes = 2500;
  model.tools = form;
  auto parsed = parse_call(Endpoint::chat,
                           message(R"({"messages":[{"role":"user","content":"hi"}],"tools":[)", kStrict, ',',
                                   kFree, ']', more, '}'),
                           model, {});
  if (const auto* error = std::get_if<ApiError>(&parsed)) throw Error(error->message);
  return compiler->compile(std::get<Call>(parsed).requests[0].sampling.grammar.value(), 5);
}

// The model may write the text, byte by byte, and end there.
bool takes(const Grammar& grammar, std::string_view text) {
  const auto matcher = grammar.matcher();
  std::vector<int32_t> mask(mask_words(grammar.vocabulary()));
  for (const char c : text) {
    matcher->next(mask);
    if (!matcher->accept(static_cast<unsigned char>(c))) return false;
  }
  matcher->next(mask);
  return in_mask(mask, static_cast<size_t>(kLast));
}

TEST(ToolGrammar, StrictCallsAreHeldWhereverTheyStandInFreeText) {
  const auto grammar = grammar_for(ToolForm::hermes, "");
  for (const char* text :
       {"", "It is 3.", "<b> {\"name\": \"Bob\"} </b>", "<think>\nso\n</think>\n\nyes",
        "Wait.\n<tool_call>\n{\"name\": \"f\", \"arguments\": {\"n\": 3}}\n</tool_call>",
        "<tool_call>\n{\"name\": \"g\", \"arguments\": {\"any\": [1, {\"a\": null}]}}\n</tool_call>\n"
        "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"n\": 3}}\n</tool_call> and on"}) {
    EXPECT_TRUE(takes(*grammar, text)) << text;
  }
  for (const char* text :
       {"<tool_call>\n{\"name\": \"f\", \"arguments\": {}}\n</tool_call>",
        "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"n\": \"3\"}}\n</tool_call>",
        "<tool_call>\n{\"name\": \"h\", \"arguments\": {\"n\": 3}}\n</tool_call>", "<tool_call>nothing",
        "<tool_call>\n{\"name\": \"g\", \"arguments\": 5}\n</tool_call>"}) {
    EXPECT_FALSE(takes(*grammar, text)) << text;
  }
}

TEST(ToolGrammar, LlamasCallsAreHeldFromTheirNamesOn) {
  const auto grammar = grammar_for(ToolForm::llama3, "");
  for (const char* text : {"plain", R"({"answer": 42})", R"({"name": "f", "parameters": {"n": 3}})",
                           R"({"type": "function", "name": "f", "parameters": {"n": 3}})",
                           R"({"name": "g", "parameters": 5})"}) {
    EXPECT_TRUE(takes(*grammar, text)) << text;
  }
  for (const char* text : {R"({"name": "f", "parameters": {"m": 3}})",
                           R"({"type": "function", "name": "f", "parameters": "n"})"}) {
    EXPECT_FALSE(takes(*grammar, text)) << text;
  }
}

TEST(ToolGrammar, OneCallEndsTheAnswerWhereNoMoreAreWanted) {
  const std::string call = "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"n\": 3}}\n</tool_call>";
  const auto grammar = grammar_for(ToolForm::hermes, R"(,"parallel_tool_calls":false)");
  EXPECT_TRUE(takes(*grammar, call));
  EXPECT_FALSE(takes(*grammar, call + "\n"));
}

TEST(ToolGrammar, AnAnswerIsCallsOrHasItsFormat) {
  const char* const kFormats[] = {
      R"(,"response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{"type":"object","properties":{"sure":{"const":true}},"required":["sure"]}}})",
      R"(,"response_format":{"type":"json_object"})", R"(,"regex":"\\{\"sure\": true\\}")",
      R"(,"guided_choice":["{\"sure\": true}"])", R"(,"grammar":"root ::= \"{\\\"sure\\\": true}\"")"};
  for (const char* format : kFormats) {
    SCOPED_TRACE(format);
    const auto grammar = grammar_for(ToolForm::hermes, format);
    EXPECT_TRUE(takes(*grammar, R"({"sure": true})"));
    EXPECT_FALSE(takes(*grammar, "plain"));
    EXPECT_FALSE(takes(*grammar, ""));
    EXPECT_TRUE(takes(*grammar, "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"n\": 3}}\n</tool_call>"));
    EXPECT_FALSE(takes(*grammar, "<tool_call>\n{\"name\": \"f\", \"arguments\": {}}\n</tool_call>"));
  }
}

}  // namespace
}  // namespace uhd
