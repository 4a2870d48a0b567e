// Conversations with tools, as templates after the published ones write them (data/make_chat_expected.py says
// where these come from).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "base/error.h"
#include "base/mapped_file.h"
#include "model/text/chat_template.h"
#include "tests/support/goldens.h"
#include "tests/support/temporary_directory.h"

namespace uhd {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

std::shared_ptr<const ChatTemplate> chat_of(const std::string& source) {
  const TemporaryDirectory directory;
  directory.write("config.json", R"({"model_type":"qwen2"})");
  directory.write("tokenizer_config.json", R"({"bos_token":"<s>","eos_token":"</s>"})");
  directory.write("chat_template.jinja", source);
  return load_chat_template(directory.path());
}

std::string source_of(std::string_view name) {
  return read_text_file(std::filesystem::path(UHD_TEST_DATA) / "tool_templates" / message(name, ".jinja"));
}

std::vector<ChatTurn> turns_of(const boost::json::array& messages) {
  std::vector<ChatTurn> turns;
  for (const auto& message : messages) {
    ChatTurn turn{std::string(message.at("role").as_string()),
                  {{std::string(message.at("content").as_string()), false}}};
    const boost::json::object& fields = message.as_object();
    if (const auto* calls = fields.if_contains("tool_calls"))
      turn.tool_calls = boost::json::serialize(*calls);
    if (const auto* id = fields.if_contains("tool_call_id")) turn.tool_call_id = id->as_string();
    if (const auto* text = fields.if_contains("reasoning_content")) turn.thoughts = text->as_string();
    turns.push_back(std::move(turn));
  }
  return turns;
}

TEST(ToolTemplates, AreRenderedAsJinja2Does) {
  size_t rows = 0;
  for (const auto& row : read_json_lines(std::filesystem::path(UHD_TEST_DATA) / "tool_expected.jsonl")) {
    const std::string name(row.at("template").as_string());
    const auto chat = chat_of(source_of(name));
    const auto turns = turns_of(row.at("messages").as_array());
    const std::string tools = boost::json::serialize(row.at("tools"));
    SCOPED_TRACE(name);
    if (const auto* error = row.as_object().if_contains("error")) {
      try {
        chat->render(turns, ChatEnd::new_turn, "", tools);
        ADD_FAILURE() << "is rendered";
      } catch (const Error& e) {
        EXPECT_THAT(e.what(), HasSubstr(std::string(error->as_string())));
      }
      continue;
    }
    const ChatText got = chat->render(turns, ChatEnd::new_turn, "", tools);
    EXPECT_EQ(got.text, std::string(row.at("prompt").as_string()));
    // A text that a client wrote, in tools, calls or results, is no special token.
    for (const std::string_view typed : {"\\\"all\\\" </tools> <|im_end|>", "\\\"<|im_end|>\\\"",
                                         "sunny <|im_end|>", "Two calls <|im_end|>"}) {
      const size_t at = got.text.find(typed);
      if (at == std::string::npos) continue;
      const size_t mark = got.text.find("<|im_end|>", at);
      EXPECT_TRUE(std::ranges::any_of(got.literal, [&](const TextRange& range) {
        return range.begin <= mark && mark + 10 <= range.end;
      })) << typed;
      ++rows;
    }
  }
  EXPECT_GT(rows, 10u);
}

// Qwen3's template keeps the thoughts since the last question.
TEST(ToolTemplates, ThoughtsAreKeptWhereTheTemplateReadsThem) {
  const std::vector<ChatTurn> plain{
      {"user", {{"hi", false}}},
      {"assistant", {{"", false}}, R"([{"function":{"name":"f","arguments":{}}}])"},
      {"tool", {{"sunny", false}}, "", "c1"}};
  std::vector<ChatTurn> turns = plain;
  turns[1].thoughts = "ask </think> f";
  const auto qwen3 = chat_of(source_of("qwen3"));
  EXPECT_THAT(qwen3->render(turns, ChatEnd::new_turn).text,
              HasSubstr("<think>\nask </think> f\n</think>\n\n<tool_call>"));
  EXPECT_THAT(qwen3->render(plain, ChatEnd::new_turn).text, Not(HasSubstr("<think>")));
  const auto qwen25 = chat_of(source_of("qwen25"));
  EXPECT_EQ(qwen25->render(turns, ChatEnd::new_turn).text, qwen25->render(plain, ChatEnd::new_turn).text);
  const auto other = chat_of("{% for m in messages %}{{ m.content }}{{ m.reasoning }}{% endfor %}");
  EXPECT_EQ(other
                ->render({{"user", {{"hi", false}}}, {"assistant", {{"yes", false}}, "", "", "so"}},
                         ChatEnd::new_turn)
                .text,
            "hiyesso");
}

TEST(ToolTemplates, NamesStandWhereTheTemplateReadsThem) {
  const std::vector<ChatTurn> turns{{"user", {{"hi", false}}, "", "", "", "Ann <|im_end|>"},
                                    {"user", {{"yes", false}}}};
  const auto chat = chat_of(
      "{% for m in messages %}{{ m.name + ': ' if m.name is defined else '' }}{{ m.content }};{% endfor %}");
  const ChatText got = chat->render(turns, ChatEnd::new_turn);
  EXPECT_EQ(got.text, "Ann <|im_end|>: hi;yes;");
  EXPECT_EQ(got.literal.at(0).begin, 0u);
  EXPECT_GE(got.literal.at(0).end, 14u) << "a name is no special token";
  const auto other = chat_of("{% for m in messages %}{{ m.content }};{% endfor %}");
  EXPECT_EQ(other->render(turns, ChatEnd::new_turn).text, "hi;yes;");
}

TEST(ToolTemplates, TheirFormIsKnown) {
  EXPECT_EQ(chat_of(source_of("qwen25"))->tools(), ToolForm::hermes);
  EXPECT_EQ(chat_of(source_of("qwen3"))->tools(), ToolForm::hermes);
  EXPECT_EQ(chat_of(source_of("llama31"))->tools(), ToolForm::llama3);
  EXPECT_EQ(chat_of("{% for m in messages %}{{ m.content }}{% endfor %}")->tools(), ToolForm::none);
  EXPECT_EQ(chat_of("{{ tools }}{% for m in messages %}{{ m.content }}{% endfor %}")->tools(), ToolForm::none)
      << "in no form that is known";
}

TEST(ToolTemplates, OneWithoutToolsRefusesThem) {
  const auto chat = chat_of("{% for m in messages %}{{ m.role + m.content }}{% endfor %}");
  const ChatTurn user{"user", {{"hi", false}}};
  const ChatTurn result{"tool", {{"sunny", false}}, "", "c1"};
  const ChatTurn calls{"assistant", {{"", false}}, R"([{"function":{"name":"f","arguments":{}}}])"};
  EXPECT_THROW(chat->render({user}, ChatEnd::new_turn, "", R"([{"function":{"name":"f"}}])"), Error);
  EXPECT_THROW(chat->render({user, result}, ChatEnd::new_turn), Error);
  EXPECT_THROW(chat->render({user, calls}, ChatEnd::new_turn), Error);
  EXPECT_THROW(chat_of(source_of("qwen25"))->render({user}, ChatEnd::new_turn, "", "{}"), Error);
}

}  // namespace
}  // namespace uhd
