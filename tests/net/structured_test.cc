// The rules that a call has for the text of its answer, in the form of every client.
#include <gtest/gtest.h>

#include "base/error.h"
#include "net/openai.h"

namespace uhd {
namespace {

const ModelInfo kPlainModel{"fake", "llava-uhd-v1", true, 2048, 1000};

std::variant<Call, ApiError> chat_with(const std::string& fields) {
  return parse_call(Endpoint::chat, R"({"messages":[{"role":"user","content":"hi"}],)" + fields + "}",
                    kPlainModel, {});
}

TEST(Structured, EveryFormBecomesAGrammar) {
  const std::string choice =
      R"({"type":"structural_tag","format":{"type":"or","elements":[)"
      R"({"type":"const_string","value":"yes"},{"type":"const_string","value":"\"no\""}]}})";
  const std::string schema = R"({"type":"integer"})";
  const struct {
    const char* fields;
    GrammarKind kind;
    std::string text;
  } cases[] = {
      {R"("response_format":{"type":"json_object"})", GrammarKind::json_object, ""},
      {R"("response_format":{"type":"json_object","schema":{"type":"integer"}})", GrammarKind::json_schema,
       schema},
      {R"("response_format":{"type":"json_schema","schema":{"type":"integer"}})", GrammarKind::json_schema,
       schema},
      {R"("response_format":{"type":"json_schema","json_schema":{"name":"n","strict":true,"schema":{"type":"integer"}}})",
       GrammarKind::json_schema, schema},
      {R"("structured_outputs":{"json":{"type":"integer"}})", GrammarKind::json_schema, schema},
      {R"("structured_outputs":{"json":"{\"type\":\"integer\"}"})", GrammarKind::json_schema, schema},
      {R"("structured_outputs":{"json_object":true})", GrammarKind::json_object, ""},
      {R"("structured_outputs":{"regex":"[0-9]+"})", GrammarKind::regex, "[0-9]+"},
      {R"("structured_outputs":{"grammar":"root ::= \"a\""})", GrammarKind::ebnf, "root ::= \"a\""},
      {R"("structured_outputs":{"choice":["yes","\"no\""]})", GrammarKind::structural_tag, choice},
      {R"("structured_outputs":{"structural_tag":"{}"})", GrammarKind::structural_tag, "{}"},
      {R"("guided_json":{"type":"integer"})", GrammarKind::json_schema, schema},
      {R"("guided_regex":"a|b")", GrammarKind::regex, "a|b"},
      {R"("guided_choice":["yes","\"no\""])", GrammarKind::structural_tag, choice},
      {R"("guided_grammar":"root ::= \"a\"")", GrammarKind::ebnf, "root ::= \"a\""},
      {R"("json_schema":{"type":"integer"})", GrammarKind::json_schema, schema},
      {R"("regex":"a|b")", GrammarKind::regex, "a|b"},
      {R"("ebnf":"root ::= \"a\"")", GrammarKind::ebnf, "root ::= \"a\""},
      {R"("grammar":"root ::= \"a\"")", GrammarKind::ebnf, "root ::= \"a\""},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.fields);
    const auto parsed = chat_with(c.fields);
    ASSERT_TRUE(std::holds_alternative<Call>(parsed)) << std::get<ApiError>(parsed).message;
    const auto& grammar = std::get<Call>(parsed).requests[0].sampling.grammar;
    ASSERT_TRUE(grammar);
    EXPECT_EQ(grammar->kind, c.kind);
    EXPECT_EQ(grammar->text, c.text);
  }
}

TEST(Structured, PlainTextHasNoGrammar) {
  for (const char* fields : {R"("response_format":{"type":"text"})", R"("response_format":null)",
                             R"("structured_outputs":{})", R"("structured_outputs":{"json_object":false})"}) {
    EXPECT_FALSE(std::get<Call>(chat_with(fields)).requests[0].sampling.grammar) << fields;
  }
}

TEST(Structured, AWrongRuleIsNamed) {
  const std::string large = '"' + std::string(70'000, 'x') + '"';
  const struct {
    std::string fields;
    const char* param;
  } cases[] = {
      {R"("response_format":{"type":"json_schema"})", "response_format.json_schema"},
      {R"("response_format":{"type":"json_schema","json_schema":{"name":"n"}})",
       "response_format.json_schema.schema"},
      {R"("response_format":{"type":"json_schema","json_schema":{"schema":{}},"schema":{}})",
       "response_format.schema"},
      {R"("response_format":{"type":"text","schema":{}})", "response_format.schema"},
      {R"("response_format":{"type":"json_object"},"regex":"a")", "regex"},
      {R"("structured_outputs":{"regex":"a","choice":["b"]})", "structured_outputs.choice"},
      {R"("structured_outputs":{"choice":[]})", "structured_outputs.choice"},
      {R"("structured_outputs":{"choice":["a",1]})", "structured_outputs.choice[1]"},
      {R"("structured_outputs":{"choice":["a",""]})", "structured_outputs.choice[1]"},
      {R"("structured_outputs":{"json":"not json"})", "structured_outputs.json"},
      {R"("structured_outputs":{"json":[]})", "structured_outputs.json"},
      {R"("guided_json":"[1]")", "guided_json"},
      {R"("regex":"")", "regex"},
      {"\"regex\":" + large, "regex"},
      {"\"guided_json\":" + large, "guided_json"},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.fields.substr(0, 100));
    const auto parsed = chat_with(c.fields);
    ASSERT_TRUE(std::holds_alternative<ApiError>(parsed));
    EXPECT_EQ(std::get<ApiError>(parsed).status, 400);
    EXPECT_EQ(std::get<ApiError>(parsed).param, c.param);
  }
}

TEST(Structured, KeywordsThatWouldBeLeftOutAreNamed) {
  const std::pair<const char*, const char*> refused[] = {
      {R"({"not":{"type":"string"}})", ".not"},
      {R"({"type":"object","if":{"type":"object"}})", ".if"},
      {R"({"type":"object","dependentRequired":{"a":["b"]}})", ".dependentRequired"},
      {R"({"type":"array","items":{"type":"string"},"uniqueItems":true})", ".uniqueItems"},
      {R"({"type":"array","contains":{"type":"string"}})", ".contains"},
      {R"({"allOf":[{"type":"object"},{"type":"object"}]})", ".allOf"},
      {R"({"anyOf":[{"type":"string"}],"type":"object"})", ".type"},
      {R"({"$ref":"#/$defs/a","properties":{},"$defs":{"a":{"type":"object"}}})", ".properties"},
      {R"({"enum":["a",1],"type":"string"})", ".type"},
      {R"({"enum":["a"],"minLength":2})", ".minLength"},
      {R"({"minimum":3})", ".minimum"},
      {R"({"type":"object","properties":{"a":{"anyOf":[{"type":"null"},{"not":{}}]}}})",
       ".properties.a.anyOf[1].not"},
      {R"({"type":"object","$defs":{"d":{"required":["x"]}}})", ".$defs.d.required"},
  };
  for (const auto& [schema, param] : refused) {
    const auto parsed = chat_with(message(R"("structured_outputs":{"json":)", schema, '}'));
    ASSERT_TRUE(std::holds_alternative<ApiError>(parsed)) << schema;
    EXPECT_EQ(std::get<ApiError>(parsed).param, message("structured_outputs.json", param));
  }
  for (
      const char* schema :
      {R"({"type":"object","title":"t","properties":{"not":{"type":"string","enum":["a"]}},"required":["not"]})",
       R"({"type":"string","const":"a","description":"d"})", R"({"allOf":[{"type":"object"}]})",
       R"({"enum":["a",null],"type":["string","null"],"default":null})",
       R"({"$ref":"#/$defs/a","description":"d","$defs":{"a":{"type":"integer","minimum":1}}})",
       R"({"type":"array","items":{"anyOf":[{"type":"string"},{"type":"null"}]},"uniqueItems":false})",
       "{}"}) {
    const auto parsed = chat_with(message(R"("guided_json":)", schema));
    EXPECT_TRUE(std::holds_alternative<Call>(parsed)) << schema;
  }
}

}  // namespace
}  // namespace uhd
