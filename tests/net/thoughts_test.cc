// Tests how an answer is divided into thoughts and words, wherever its text is cut, and how a client reads
// it.
#include "net/thoughts.h"

#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "net/openai.h"

namespace uhd {
namespace {

struct Divided {
  std::string thoughts;
  std::string answer;
  bool operator==(const Divided&) const = default;
};
std::ostream& operator<<(std::ostream& out, const Divided& d) {
  return out << "'" << d.thoughts << "' | '" << d.answer << "'";
}

// Divides a text that comes in pieces of so many bytes.
Divided divide(const std::string& text, size_t bytes, bool open) {
  ThoughtSplitter splitter;
  if (open) splitter.open();
  Divided all;
  for (size_t at = 0; at < text.size(); at += bytes) {
    const auto parts = splitter.take(text.substr(at, bytes), at + bytes >= text.size());
    all.thoughts += parts.thoughts;
    all.answer += parts.answer;
  }
  return all;
}

TEST(Thoughts, AreToldApartWhereverTheTextIsCut) {
  const struct {
    std::string text;
    bool open;
    Divided want;
  } cases[] = {
      {"<think>\na b\n\nc\n</think>\n\nYes.\n", false, {"a b\n\nc", "Yes.\n"}},
      {"\n<think></think>Yes", false, {"", "Yes"}},
      {"<think>\n\n</think>\n\nYes", false, {"", "Yes"}},
      {"<think>never ends </thin", false, {"never ends </thin", ""}},
      {"<think>a</think>b</think>c", false, {"a", "b</think>c"}},
      {"No thoughts <think>here</think>", false, {"", "No thoughts <think>here</think>"}},
      {"<thinker", false, {"", "<thinker"}},
      {"<thin", false, {"", "<thin"}},
      {"a < b </thi\nnk> c</think>d", true, {"a < b </thi\nnk> c", "d"}},
      {"\n\nx\n</think>\n", true, {"x", ""}},
      {"open to the end\n", true, {"open to the end\n", ""}},
      {"", true, {"", ""}},
  };
  for (const auto& c : cases) {
    for (size_t bytes = 1; bytes <= c.text.size() + 1; ++bytes) {
      EXPECT_EQ(divide(c.text, bytes, c.open), c.want) << c.text << " in pieces of " << bytes;
    }
  }
}

Call thinking_call(bool stream) {
  return {.requests = {Request()}, .n = 2, .stream = stream, .thinks = true};
}
TokenEvent event_of(int answer, std::string text, FinishReason finish = FinishReason::none) {
  return {.answer = answer, .text = std::move(text), .ids = {1, 2}, .finish = finish};
}

TEST(Thoughts, StandInTheMessageBesideItsContent) {
  ReplyWriter writer(thinking_call(false), "id", 0);
  writer.take(0, event_of(0, "<think>why"));
  writer.take(1, event_of(1, "no thoughts", FinishReason::stop));
  writer.take(0, event_of(0, "</think>\n\nbecause", FinishReason::stop));
  const auto body = boost::json::parse(writer.body());
  const auto& first = body.at("choices").at(0).at("message").as_object();
  EXPECT_EQ(first.at("reasoning_content").as_string(), "why");
  EXPECT_EQ(first.at("content").as_string(), "because");
  const auto& second = body.at("choices").at(1).at("message").as_object();
  EXPECT_FALSE(second.contains("reasoning_content"));
  EXPECT_EQ(second.at("content").as_string(), "no thoughts");
  const auto& details = body.at("usage").at("completion_tokens_details");
  EXPECT_EQ(details.at("reasoning_tokens").as_int64(), 2) << "the tokens before the thoughts' end";
}

TEST(Thoughts, StreamInDeltasOfTheirOwn) {
  ReplyWriter writer(thinking_call(true), "id", 0);
  writer.begin_in_thoughts(0);
  const std::string thoughts = writer.take(0, event_of(0, "why"));
  EXPECT_NE(thoughts.find(R"("delta":{"reasoning_content":"why"})"), std::string::npos) << thoughts;
  EXPECT_EQ(writer.take(0, event_of(0, "</thi")), "");
  const std::string words = writer.take(0, event_of(0, "nk>so"));
  EXPECT_NE(words.find(R"("delta":{"content":"so"})"), std::string::npos) << words;
  EXPECT_EQ(words.find("reasoning_content"), std::string::npos) << words;
  EXPECT_NE(writer.take(1, event_of(1, "too")).find(R"("reasoning_content":"too")"), std::string::npos);
}

TEST(Thoughts, AreOnlyLookedForInChatsOfModelsThatThink) {
  ModelInfo model{"fake", "text", false, 2048, 1000};
  const std::string chat = R"({"messages":[{"role":"user","content":"hi"}]})";
  EXPECT_FALSE(std::get<Call>(parse_call(Endpoint::chat, chat, model, NetOptions{})).thinks);
  model.thinks = true;
  EXPECT_TRUE(std::get<Call>(parse_call(Endpoint::chat, chat, model, NetOptions{})).thinks);
  EXPECT_FALSE(
      std::get<Call>(parse_call(Endpoint::completions, R"({"prompt":"hi"})", model, NetOptions{})).thinks);
}

}  // namespace
}  // namespace uhd
