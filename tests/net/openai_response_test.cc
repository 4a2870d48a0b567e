#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <limits>
#include <memory>

#include "net/openai.h"

namespace uhd {
namespace {

namespace json = boost::json;

Call call_of(Endpoint endpoint, size_t choices, bool stream) {
  Call call{.endpoint = endpoint,
            .model = "fake",
            .n = static_cast<int>(choices),
            .stream = stream,
            .include_usage = stream};
  call.requests.resize(1);
  return call;
}
TokenEvent word(std::string text) { return {.text = std::move(text), .ids = {7}}; }
TokenEvent last(FinishReason finish) {
  Usage usage{.prompt_tokens = 7, .completion_tokens = 3, .image_tokens = 4, .cached_tokens = 1};
  usage.images.push_back({672, 1008, 2, 3, 6, 448, 1, ImageDetail::low, 9});
  usage.times.ttft = 0.5;
  return {.finish = finish, .usage = usage};
}
// The data of each frame; the last one must be [DONE].
std::vector<json::value> frames_of(std::string_view text, bool done) {
  std::vector<json::value> frames;
  while (!text.empty()) {
    EXPECT_TRUE(text.starts_with("data: "));
    const size_t end = text.find("\n\n");
    const std::string_view data = text.substr(6, end - 6);
    text.remove_prefix(end + 2);
    if (data == "[DONE]") {
      EXPECT_TRUE(done && text.empty());
      return frames;
    }
    frames.push_back(json::parse(data));
  }
  EXPECT_FALSE(done);
  return frames;
}

TEST(ReplyWriter, GathersOneBody) {
  ReplyWriter writer(call_of(Endpoint::chat, 1, false), "id1", 5);
  EXPECT_EQ(writer.take(0, word("Hello")), "");
  EXPECT_EQ(writer.take(0, word(" you")), "");
  EXPECT_FALSE(writer.finished());
  writer.take(0, last(FinishReason::stop));
  ASSERT_TRUE(writer.finished());
  const json::value body = json::parse(writer.body());
  EXPECT_EQ(body.at("object"), "chat.completion");
  EXPECT_EQ(body.at("id"), "id1");
  const json::value& choice = body.at("choices").at(0);
  EXPECT_EQ(choice.at("message").at("content"), "Hello you");
  EXPECT_EQ(choice.at("message").at("role"), "assistant");
  EXPECT_EQ(choice.at("finish_reason"), "stop");
  EXPECT_EQ(body.at("usage").at("total_tokens"), 10);
  EXPECT_EQ(body.at("usage").at("prompt_tokens_details").at("image_tokens"), 4);
  EXPECT_EQ(body.at("uhd").at("images").at(0).at("grid"), (json::array{2, 3}));
  EXPECT_EQ(body.at("uhd").at("images").at(0).at("detail"), "low");
  EXPECT_EQ(body.at("uhd").at("images").at(0).at("max_slices"), 9);
  EXPECT_EQ(body.at("uhd").at("times").at("ttft"), 0.5);
}

TokenEvent span_event(Stage stage, int image, int slice) {
  TimelineSpan span{.stage = stage, .begin = 0.25, .end = 0.5, .image = image, .slice = slice};
  if (stage == Stage::encode) span.encoder = 2;
  return {.span = span};
}

TEST(ReplyWriter, StreamsATimelineInChunksWithoutChoices) {
  Call call = call_of(Endpoint::chat, 1, true);
  call.requests[0].timeline = true;
  ReplyWriter writer(call, "id1", 5);
  const auto frames = frames_of(writer.take(0, span_event(Stage::encode, 0, 3)), false);
  ASSERT_EQ(frames.size(), 1u);
  EXPECT_EQ(frames[0],
            json::parse(R"({"id": "id1", "object": "chat.completion.chunk", "created": 5, "model": "fake",
      "system_fingerprint": "", "choices": [], "usage": null, "uhd": {"timeline": [
      {"stage": "encode", "begin": 0.25, "end": 0.5, "image": 0, "slice": 3, "encoder": 2}]}})"));
  EXPECT_TRUE(writer.begun());
  const auto words = frames_of(writer.take(0, word("Hello")), false);
  EXPECT_EQ(words.at(0).at("choices").at(0).at("delta").at("role"), "assistant");
  const auto end = frames_of(writer.take(0, last(FinishReason::stop)), true);
  EXPECT_FALSE(end.back().at("uhd").as_object().contains("timeline")) << "it was streamed";
  EXPECT_EQ(writer.take(0, span_event(Stage::cut, 0, -1)), "") << "nothing follows the end";
}

TEST(ReplyWriter, AWholeAnswerHoldsItsTimeline) {
  for (const bool asked : {true, false}) {
    Call call = call_of(Endpoint::chat, 2, false);
    call.requests[0].timeline = asked;
    ReplyWriter writer(call, "id1", 5);
    if (asked) writer.take(0, span_event(Stage::cut, 1, -1));
    writer.take(0, last(FinishReason::stop));
    // The timeline is of the request, which goes on with its other answer.
    if (asked) writer.take(0, span_event(Stage::cached, 1, 4));
    writer.take(1, last(FinishReason::stop));
    const json::object body = json::parse(writer.body()).at("uhd").as_object();
    ASSERT_EQ(body.contains("timeline"), asked);
    if (!asked) continue;
    EXPECT_EQ(body.at("timeline"), json::parse(R"([
        {"stage": "cut", "begin": 0.25, "end": 0.5, "image": 1},
        {"stage": "cached", "begin": 0.25, "end": 0.5, "image": 1, "slice": 4}])"));
  }
}

TEST(PlanJson, HoldsAnAnswersFieldsAndTheRefusal) {
  RequestPlan plan{.prompt_tokens = 470,
                   .image_tokens = 454,
                   .max_tokens = 30,
                   .answers = 2,
                   .page_size = 64,
                   .prompt_pages = 8,
                   .most_pages = 9,
                   .predicted = StageSeconds{0.5, 0.25, 2},
                   .queued_seconds = 4,
                   .cached = CachedParts{448, 7}};
  const ImageReport report{672, 1008, 2, 3, 6, 454, 0, ImageDetail::automatic, 7};
  plan.images.push_back({report, 0.5, 0.25, {336, 322, 552, 64}, {280, 406, 580, 65}, 449});
  const ModelInfo model{"fake", "llava-uhd-v1", true, 2048, 1000};
  const json::value body = json::parse(plan_json(plan, model, RequestCost{3e12, 4e12}, std::nullopt));
  const json::value expected = json::parse(R"({
      "object": "plan", "model": "fake",
      "images": [{"width": 672, "height": 1008, "detail": "auto", "max_slices": 7, "grid": [2, 3], "slices": 6,
                  "tokens": 454, "visual_tokens": 449, "scale": [0.5, 0.25],
                  "slice": {"width": 336, "height": 322, "patches": 552, "tokens": 64},
                  "overview": {"width": 280, "height": 406, "patches": 580, "tokens": 65}}],
      "prompt_tokens": 470, "image_tokens": 454, "max_tokens": 30, "n": 2,
      "kv_pages": {"page_size": 64, "prompt": 8, "with_answer": 9},
      "flops": {"encode": 3e12, "prefill": 4e12},
      "predicted_seconds": {"encode": 0.5, "prefill": 0.25, "decode": 2.0, "queued": 4.0},
      "cached": {"tokens": 448, "slices": 7}, "admission": {"admitted": true}})");
  EXPECT_EQ(body, expected);
  plan.images[0].report.slices = 0;
  plan.predicted.reset();
  plan.cached.reset();
  const json::value refused =
      json::parse(plan_json(plan, model, std::nullopt, ApiError{429, "It is full.", "", "queue_full", 2}));
  EXPECT_TRUE(refused.at("flops").is_null());
  EXPECT_TRUE(refused.at("predicted_seconds").is_null());
  EXPECT_TRUE(refused.at("cached").is_null());
  EXPECT_TRUE(refused.at("images").at(0).at("slice").is_null());
  EXPECT_EQ(refused.at("admission"), json::parse(R"({"admitted": false, "status": 429, "error":
      {"message": "It is full.", "type": "rate_limit_error", "param": null, "code": "queue_full"}})"));
}

TEST(ReplyWriter, KeepsTheMemoryOfAPromptUntilItIsWritten) {
  Call call = call_of(Endpoint::completions, 1, false);
  call.prompt_logprobs = 0;
  auto memory = std::make_shared<int>();
  const std::weak_ptr<int> counted = memory;
  {
    ReplyWriter writer(call, "id1", 5);
    TokenEvent event;
    event.prompt.push_back({.id = 3, .bytes = "a"});
    event.memory = std::move(memory);
    writer.take(0, std::move(event));
    writer.take(0, last(FinishReason::length));
    EXPECT_FALSE(counted.expired());
  }
  EXPECT_TRUE(counted.expired());
}

TEST(ReplyWriter, TellsWhatStoppedAnAnswerAndWhichServerGaveIt) {
  const std::pair<StopReason, json::value> reasons[] = {
      {StopReason(), nullptr}, {StopReason(42), 42}, {StopReason("END"), "END"}};
  for (const auto& [reason, wanted] : reasons) {
    for (const bool stream : {false, true}) {
      Call call = call_of(Endpoint::chat, 1, stream);
      call.fingerprint = "fp_1";
      ReplyWriter writer(call, "id1", 5);
      TokenEvent end = last(FinishReason::stop);
      end.stop_reason = reason;
      const std::string frames = writer.take(0, std::move(end));
      const json::value body = stream ? frames_of(frames, true).at(1) : json::parse(writer.body());
      EXPECT_EQ(body.at("choices").at(0).at("stop_reason"), wanted);
      EXPECT_EQ(body.at("system_fingerprint"), "fp_1");
    }
  }
}

TEST(ReplyWriter, EveryChunkHasTheUsageSoFarIfAsked) {
  Call call = call_of(Endpoint::completions, 2, true);
  call.include_usage = false;
  call.usage_in_chunks = true;
  ReplyWriter writer(call, "id1", 5);
  writer.accepted(0, 70, 40);
  for (const int tokens : {1, 2}) {
    const auto frames = frames_of(writer.take(1, word("a")), false);
    EXPECT_EQ(frames.at(0).at("usage").at("prompt_tokens"), 70);
    EXPECT_EQ(frames.at(0).at("usage").at("completion_tokens"), tokens);
    EXPECT_EQ(frames.at(0).at("usage").at("prompt_tokens_details").at("image_tokens"), 40);
  }
  EXPECT_EQ(frames_of(writer.take(0, word("b")), false).at(0).at("usage").at("completion_tokens"), 1);
  EXPECT_EQ(writer.usage().completion_tokens, 3) << "so far";
  EXPECT_EQ(writer.usage().prompt_tokens, 70);
}

TEST(ReplyWriter, AnEchoComesOnceBeforeTheText) {
  for (const bool stream : {false, true}) {
    ReplyWriter writer(call_of(Endpoint::completions, 2, stream), "id1", 5);
    writer.echo(0, "Sag \xc3\xa4: ");
    std::string first = writer.take(1, word("one"));
    std::string second = writer.take(1, word("two"));
    writer.take(0, word("other"));
    writer.take(0, last(FinishReason::stop));
    writer.take(1, last(FinishReason::stop));
    if (stream) {
      EXPECT_EQ(frames_of(first, false).at(0).at("choices").at(0).at("text"), "Sag \xc3\xa4: one");
      EXPECT_EQ(frames_of(second, false).at(0).at("choices").at(0).at("text"), "two");
    } else {
      const json::value body = json::parse(writer.body());
      EXPECT_EQ(body.at("choices").at(1).at("text"), "Sag \xc3\xa4: onetwo");
      EXPECT_EQ(body.at("choices").at(0).at("text"), "Sag \xc3\xa4: other");
    }
  }
}

// The token that every text begins with takes no room in it, nor does the space that a tokenizer adds.
TEST(ReplyWriter, OffsetsOfAnEchoArePlacesOfItsText) {
  Call call = call_of(Endpoint::completions, 1, false);
  call.logprobs = call.echo = true;
  ReplyWriter writer(call, "id1", 5);
  writer.echo(0, "D\xc3\xbc da");
  TokenEvent event;
  for (const char* bytes : {"<s>", " D", "\xc3", "\xbc", " ", "", "da"}) {
    event.prompt.push_back(
        {.bytes = bytes, .scored = true, .logprob = -std::numeric_limits<float>::infinity()});
  }
  event.prompt.front().scored = false;
  EXPECT_EQ(writer.take(0, std::move(event)), "");
  writer.take(0, last(FinishReason::length));
  const json::value logprobs = json::parse(writer.body()).at("choices").at(0).at("logprobs");
  EXPECT_EQ(json::serialize(logprobs.at("text_offset")), "[0,0,1,1,2,3,3]");
  EXPECT_EQ(logprobs.at("tokens").at(0), "<s>");
  EXPECT_EQ(logprobs.at("tokens").at(2), "\xef\xbf\xbd") << "a part of a character";
  EXPECT_TRUE(logprobs.at("token_logprobs").at(0).is_null());
  EXPECT_EQ(logprobs.at("token_logprobs").at(1), -9999.0) << "JSON has no infinity";
}

TEST(ReplyWriter, StreamsChatChunksThenUsageThenDone) {
  ReplyWriter writer(call_of(Endpoint::chat, 1, true), "id1", 5);
  const auto first = frames_of(writer.take(0, word("Hé")), false);
  ASSERT_EQ(first.size(), 2u);
  EXPECT_EQ(first[0].at("choices").at(0).at("delta").at("role"), "assistant");
  EXPECT_EQ(first[1].at("choices").at(0).at("delta").at("content"), "Hé");
  EXPECT_TRUE(first[1].at("usage").is_null());
  const auto rest = frames_of(writer.take(0, last(FinishReason::length)), true);
  ASSERT_EQ(rest.size(), 2u);
  EXPECT_EQ(rest[0].at("choices").at(0).at("finish_reason"), "length");
  EXPECT_TRUE(rest[1].at("choices").as_array().empty());
  EXPECT_EQ(rest[1].at("usage").at("completion_tokens"), 3);
  EXPECT_EQ(rest[1].at("uhd").at("images").at(0).at("slices"), 6);
}

TEST(ReplyWriter, CountsThePromptOfSeveralChoicesOnce) {
  ReplyWriter writer(call_of(Endpoint::completions, 2, false), "id1", 5);
  writer.take(1, word("b"));
  writer.take(0, word("a"));
  writer.take(1, last(FinishReason::stop));
  EXPECT_FALSE(writer.finished());
  writer.take(0, last(FinishReason::stop));
  const json::value body = json::parse(writer.body());
  EXPECT_EQ(body.at("choices").at(0).at("text"), "a");
  EXPECT_EQ(body.at("choices").at(1).at("text"), "b");
  EXPECT_EQ(body.at("usage").at("prompt_tokens"), 7);
  EXPECT_EQ(body.at("usage").at("completion_tokens"), 6);
}

TEST(ReplyWriter, GivesLogprobsInBothForms) {
  for (const Endpoint endpoint : {Endpoint::chat, Endpoint::completions}) {
    Call call = call_of(endpoint, 1, false);
    call.logprobs = true;
    ReplyWriter writer(call, "id1", 5);
    TokenEvent event = word("é");
    event.logprobs.push_back({4, "\xC3", -0.25f, {{"\xC3", -0.25f}}});
    event.logprobs.push_back({5, "\xA9", -0.5f, {}});
    writer.take(0, std::move(event));
    writer.take(0, last(FinishReason::stop));
    const json::value body = json::parse(writer.body());
    const json::value& logprobs = body.at("choices").at(0).at("logprobs");
    if (endpoint == Endpoint::chat) {
      EXPECT_EQ(logprobs.at("content").at(0).at("bytes"), (json::array{0xC3}));
      EXPECT_EQ(logprobs.at("content").at(0).at("token"), "\xEF\xBF\xBD");
      EXPECT_EQ(logprobs.at("content").at(0).at("top_logprobs").at(0).at("logprob"), -0.25);
    } else {
      EXPECT_EQ(logprobs.at("token_logprobs").at(1), -0.5);
      EXPECT_EQ(logprobs.at("text_offset").at(1), 0) << "both are of one character";
    }
  }
}

TEST(ReplyWriter, OffsetsCountCharacters) {
  for (const bool stream : {false, true}) {
    Call call = call_of(Endpoint::completions, 1, stream);
    call.logprobs = true;
    ReplyWriter writer(call, "id1", 5);
    std::string frames;
    for (const char* text : {"h\xC3\xA9", "\xF0\x9F\x98\x80", "z"}) {
      TokenEvent event = word(text);
      event.logprobs.push_back({4, text, -0.25f, {}});
      frames += writer.take(0, std::move(event));
    }
    frames += writer.take(0, last(FinishReason::stop));
    std::vector<int64_t> offsets;
    const auto add = [&](const json::value& body) {
      if (body.at("choices").as_array().empty()) return;
      const json::value& logprobs = body.at("choices").at(0).at("logprobs");
      if (logprobs.is_null()) return;
      for (const json::value& offset : logprobs.at("text_offset").as_array())
        offsets.push_back(offset.to_number<int64_t>());
    };
    if (stream) {
      for (const json::value& frame : frames_of(frames, true)) add(frame);
    } else {
      add(json::parse(writer.body()));
    }
    EXPECT_EQ(offsets, (std::vector<int64_t>{0, 2, 3})) << stream;
  }
}

TEST(ReplyWriter, ChatsHaveTheMembersThatOpenAiHas) {
  Call call = call_of(Endpoint::chat, 1, false);
  call.logprobs = true;
  ReplyWriter writer(call, "id1", 5);
  writer.take(0, word("a"));
  writer.take(0, last(FinishReason::stop));
  const json::value body = json::parse(writer.body());
  EXPECT_TRUE(body.at("choices").at(0).at("message").at("refusal").is_null());
  EXPECT_TRUE(body.at("choices").at(0).at("logprobs").at("refusal").is_null());
}

TEST(ReplyWriter, AfterTheHeaderOfAStreamFailuresAreEvents) {
  ReplyWriter writer(call_of(Endpoint::chat, 1, true), "id1", 5);
  writer.begin();
  TokenEvent event{.finish = FinishReason::error,
                   .failure = Failure{FailureKind::invalid, "bad_image", "Broken."}};
  EXPECT_NE(writer.take(0, std::move(event)).find("Broken."), std::string::npos);
}

TEST(ReplyWriter, FaultsOfTheEngineNameTheirFields) {
  const FieldPlaces places{"messages", "regex", {"first", "second"}, "logprobs"};
  const auto param = [&](const char* code, std::optional<int> image = {}) {
    return api_error({FailureKind::invalid, code, "m", 0, image}, places).param;
  };
  EXPECT_EQ(param("image_invalid", 1), "second");
  EXPECT_EQ(param("image_invalid", 2), "");
  EXPECT_EQ(param("context_length_exceeded"), "messages");
  EXPECT_EQ(param("empty_request"), "messages");
  EXPECT_EQ(param("invalid_grammar"), "regex");
  EXPECT_EQ(param("too_many_logprobs"), "logprobs");
  EXPECT_EQ(param("not_implemented"), "regex");
  EXPECT_EQ(param("queue_full"), "");
  Call call = call_of(Endpoint::chat, 1, false);
  call.places = places;
  ReplyWriter writer(call, "id1", 5);
  writer.take(0, {.finish = FinishReason::error,
                  .failure = Failure{FailureKind::invalid, "image_invalid", "Broken.", 0, 0}});
  EXPECT_EQ(writer.failure()->param, "first");
}

TEST(ReplyWriter, AFailureBeforeTextIsNotStreamed) {
  ReplyWriter writer(call_of(Endpoint::chat, 1, true), "id1", 5);
  TokenEvent event{.finish = FinishReason::error,
                   .failure = Failure{FailureKind::invalid, "bad_image", "Broken."}};
  EXPECT_EQ(writer.take(0, std::move(event)), "");
  ASSERT_TRUE(writer.finished());
  EXPECT_FALSE(writer.begun());
  EXPECT_EQ(writer.failure()->status, 400);
}

TEST(ReplyWriter, AFailureInsideAStreamEndsItWithAnError) {
  ReplyWriter writer(call_of(Endpoint::chat, 1, true), "id1", 5);
  writer.take(0, word("a"));
  TokenEvent event{.finish = FinishReason::error,
                   .failure = Failure{FailureKind::internal, "lost", "A rank is gone."}};
  const auto frames = frames_of(writer.take(0, std::move(event)), true);
  ASSERT_EQ(frames.size(), 1u);
  EXPECT_EQ(frames[0].at("error").at("message"), "A rank is gone.");
}

TEST(ReplyWriter, TextIsAlwaysValidUtf8) {
  ReplyWriter writer(call_of(Endpoint::chat, 1, false), "id1", 5);
  writer.take(0, word("a\xFF\xC0\xAF\xED\xA0\x80z"));
  writer.take(0, last(FinishReason::stop));
  const json::value body = json::parse(writer.body());
  const std::string bad = "\xEF\xBF\xBD";
  EXPECT_EQ(body.at("choices").at(0).at("message").at("content").as_string().c_str(),
            "a" + bad + bad + bad + bad + bad + bad + "z");
}

TEST(ApiErrors, RefusalsThatPassCarryRetryAfter) {
  const HttpResponse busy = error_response({429, "Full.", "", "queue_full", 2.5});
  ASSERT_EQ(busy.headers.size(), 1u);
  EXPECT_EQ(busy.headers[0], (std::pair<std::string, std::string>("Retry-After", "3")));
  EXPECT_TRUE(error_response({400, "No.", "x", "y"}).headers.empty());
  const json::value body = json::parse(error_json({400, "No.", "x", ""}));
  EXPECT_EQ(body.at("error").at("param"), "x");
  EXPECT_TRUE(body.at("error").at("code").is_null());
  EXPECT_EQ(body.at("error").at("type"), "invalid_request_error");
}

TEST(ApiErrors, AreValidUtf8AndBounded) {
  const json::value body = json::parse(error_json({400, std::string(5000, 'x') + "\xFF", "a\xC3", "c"}));
  EXPECT_LT(body.at("error").at("message").as_string().size(), 2100u);
  EXPECT_EQ(body.at("error").at("param"), "a\xEF\xBF\xBD");
}

}  // namespace
}  // namespace uhd
