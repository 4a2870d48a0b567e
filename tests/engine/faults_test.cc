// A fault of one request, anywhere on the engine's thread, ends that request and no other.
#include <gtest/gtest.h>

#include "cluster/host/local_communicator.h"
#include "engine/launch/leader_rank.h"
#include "tests/engine/engine_fixture.h"

namespace uhd {
namespace {

constexpr const char* kSecret = "what only the log may say";

// A real tokenizer, save that text of one id is a fault.
class FaultyTokenizer final : public Tokenizer {
 public:
  FaultyTokenizer(std::shared_ptr<const Tokenizer> real, int32_t bad) : real_(std::move(real)), bad_(bad) {}
  int vocabulary() const override { return real_->vocabulary(); }
  std::vector<int32_t> encode_around(std::string_view text, bool add_special,
                                     std::span<const TextRange> literal) const override {
    return real_->encode_around(text, add_special, literal);
  }
  std::unique_ptr<TextDecoder> decoder(bool skip_special) const override {
    return std::make_unique<Decoder>(real_->decoder(skip_special), bad_);
  }
  std::string bytes_of_token(int32_t id) const override {
    check(id != bad_ + 1, kSecret);
    return real_->bytes_of_token(id);
  }
  std::optional<int32_t> id_of(std::string_view token) const override { return real_->id_of(token); }
  bool is_special(int32_t id) const override { return real_->is_special(id); }
  size_t max_bytes_per_id() const override { return real_->max_bytes_per_id(); }
  std::span<const int32_t> prefix() const override { return real_->prefix(); }

 private:
  struct Decoder final : TextDecoder {
    Decoder(std::unique_ptr<TextDecoder> of, int32_t bad_id) : real(std::move(of)), bad(bad_id) {}
    void push(int32_t id, std::string& settled) override {
      broken = broken || id == bad;
      check(!broken, kSecret);
      real->push(id, settled);
    }
    std::string_view tail() const override {
      check(!broken, kSecret);
      return real->tail();
    }
    std::unique_ptr<TextDecoder> real;
    int32_t bad;
    bool broken = false;
  };
  std::shared_ptr<const Tokenizer> real_;
  int32_t bad_;
};

// Real encoders, save that the first so many slices have a row too few.
class ShortEncoders final : public SliceEncoders {
 public:
  ShortEncoders(std::unique_ptr<SliceEncoders> real, int bad) : real_(std::move(real)), bad_(bad) {}
  void add(SliceJob job, TimePoint now) override { real_->add(std::move(job), now); }
  bool cancel(const Fingerprint& fingerprint) override { return real_->cancel(fingerprint); }
  void hasten(const Fingerprint& fingerprint, const Urgency& urgency) override {
    real_->hasten(fingerprint, urgency);
  }
  std::vector<EncodedSlice> poll(TimePoint now, const EncodingTurn& turn) override {
    std::vector<EncodedSlice> ended = real_->poll(now, turn);
    for (EncodedSlice& slice : ended) {
      if (bad_ == 0) break;
      --bad_;
      slice.rows.rows = slice.rows.rows.slice_rows(0, slice.rows.rows.rows() - 1);
    }
    return ended;
  }
  std::optional<TimePoint> next_poll(TimePoint now) const override { return real_->next_poll(now); }
  int encoders() const override { return real_->encoders(); }
  int queued() const override { return real_->queued(); }

 private:
  std::unique_ptr<SliceEncoders> real_;
  int bad_;
};

// An engine of one rank whose parts the test may change first.
std::unique_ptr<Frontend> engine_with(const GoldenCase& c, const std::function<void(LeaderParts&)>& change) {
  const EngineOptions options = tiny_options(c.model);
  const ClusterOptions cluster = ranks(1, 0);
  const auto files = std::make_shared<const ModelFiles>(open_model(options));
  LeaderParts parts;
  parts.plans = std::move(make_local_plan_channels(1)[0]);
  LlmRank rank = make_llm_rank(*files, options, cluster, open_device(*files, options),
                               std::move(make_local_communicators(1)[0]), true);
  make_leader(parts, files, options, cluster, std::move(rank), nullptr);
  change(parts);
  return std::make_unique<Frontend>(std::move(parts));
}

void expect_internal_error(const AnswerListener& answer) {
  EXPECT_EQ(answer.finish, FinishReason::error);
  EXPECT_EQ(answer.failure.kind, FailureKind::internal);
  EXPECT_EQ(answer.failure.code, "internal_error");
  EXPECT_EQ(answer.failure.message.find(kSecret), std::string::npos) << answer.failure.message;
  EXPECT_EQ(answer.events_after_the_last, 0);
}

// The engine goes on as if nothing had been.
void expect_sound(Frontend& engine, const GoldenCase& c, int tokens) {
  Request request = c.request;
  request.stop.max_tokens = tokens;
  const Submitted s = submit(engine, request);
  EXPECT_EQ(s.answer->wait().ids, std::vector<int32_t>(c.ids.begin(), c.ids.begin() + tokens));
  EXPECT_TRUE(becomes_idle(engine));
  const EngineStats stats = engine.stats();
  EXPECT_EQ(stats.readiness, Readiness::ready);
  EXPECT_EQ(stats.running, 0);
}

// An id of the answer that stands at no place before.
size_t place_of_new_id(const std::vector<int32_t>& ids, size_t from) {
  while (std::find(ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(from), ids[from]) !=
         ids.begin() + static_cast<std::ptrdiff_t>(from)) {
    ++from;
  }
  return from;
}

TEST(Faults, ATokenThatHasNoTextEndsItsOwnRequest) {
  const GoldenCase c = golden_case("uhd-v1-tiny/golden_text");
  const size_t bad = place_of_new_id(c.ids, 4);
  const auto engine = engine_with(c, [&](LeaderParts& parts) {
    parts.tokenizer = std::make_shared<FaultyTokenizer>(parts.tokenizer, c.ids[bad]);
  });
  Request shorter = c.request;
  shorter.stop.max_tokens = static_cast<int>(bad);
  const Submitted failed = submit(*engine, c.request);
  const Submitted beside = submit(*engine, shorter);
  expect_internal_error(failed.answer->wait());
  EXPECT_EQ(beside.answer->wait().ids.size(), bad);
  expect_sound(*engine, c, static_cast<int>(bad));
}

TEST(Faults, ALogprobThatCannotBeNamedEndsItsOwnRequest) {
  const GoldenCase c = golden_case("uhd-v1-tiny/golden_text");
  const auto engine = engine_with(c, [&](LeaderParts& parts) {
    parts.tokenizer = std::make_shared<FaultyTokenizer>(parts.tokenizer, c.ids[0] - 1);
  });
  Request request = c.request;
  request.sampling.logprobs = 0;
  expect_internal_error(submit(*engine, request).answer->wait());
  const Submitted plain = submit(*engine, c.request);
  EXPECT_EQ(plain.answer->wait().ids, c.ids);
}

TEST(Faults, AListenerThatThrowsEndsItsOwnRequest) {
  const GoldenCase c = golden_case("uhd-v1-tiny/golden_text");
  const auto engine = engine_with(c, [](LeaderParts&) {});
  AnswerListener answer;
  bool threw = false;
  Request request = c.request;
  request.stop.max_tokens = 400;
  const auto once = [&, sink = answer.sink()](TokenEvent&& event) {
    if (!std::exchange(threw, true)) throw Error(kSecret);
    sink(std::move(event));
  };
  ASSERT_TRUE(std::holds_alternative<Accepted>(engine->submit(Request(request), once)));
  const auto always = [](TokenEvent&&) { throw Error(kSecret); };
  ASSERT_TRUE(std::holds_alternative<Accepted>(engine->submit(Request(request), always)));
  expect_internal_error(answer.wait());
  expect_sound(*engine, c, 8);
}

TEST(Faults, AnEncoderWithTooFewRowsFailsWhoWantedThem) {
  const GoldenCase text = golden_case("uhd-v1-tiny/golden_text");
  const GoldenCase c = golden_case("uhd-v1-tiny/golden_image_2slices");
  const auto engine = engine_with(c, [](LeaderParts& parts) {
    parts.visual.reset();
    parts.encoders = std::make_unique<ShortEncoders>(std::move(parts.encoders), 1);
    parts.visual = std::make_unique<VisualFlow>(parts.sizes.visual_rows, *parts.encoders, *parts.metrics);
  });
  const Submitted failed = submit(*engine, c.request);
  const Submitted beside = submit(*engine, text.request);
  EXPECT_EQ(failed.answer->wait().failure.code, "encoding_failed");
  EXPECT_EQ(beside.answer->wait().ids, text.ids);
  expect_sound(*engine, c, 4);
}

TEST(Faults, ARequestThatCannotBeTakenLeavesItsPlace) {
  const GoldenCase c = golden_case("uhd-v1-tiny/golden_text");
  struct NoDecoder final : Tokenizer {
    int vocabulary() const override { return 0; }
    std::vector<int32_t> encode_around(std::string_view, bool, std::span<const TextRange>) const override {
      return {};
    }
    std::unique_ptr<TextDecoder> decoder(bool) const override { throw Error(kSecret); }
    std::string bytes_of_token(int32_t) const override { return ""; }
    std::optional<int32_t> id_of(std::string_view) const override { return std::nullopt; }
    bool is_special(int32_t) const override { return false; }
    size_t max_bytes_per_id() const override { return 1; }
    std::span<const int32_t> prefix() const override { return {}; }
  };
  const auto engine =
      engine_with(c, [&](LeaderParts& parts) { parts.tokenizer = std::make_shared<NoDecoder>(); });
  const Submitted refused = submit(*engine, c.request);
  EXPECT_EQ(refused.refused.code, "internal_error");
  EXPECT_EQ(refused.refused.message.find(kSecret), std::string::npos);
  EXPECT_TRUE(engine->idle());
}

}  // namespace
}  // namespace uhd
