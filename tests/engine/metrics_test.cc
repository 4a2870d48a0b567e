#include "engine/metrics.h"

#include <gtest/gtest.h>

#include <optional>

#include "base/error.h"

namespace uhd {
namespace {

// The value of a series, or nothing if the page does not have it.
std::optional<double> value_of(const Metrics& metrics, const std::string& series) {
  const std::string text = message("\n", metrics.text({}));
  const size_t at = text.find(message("\n", series, " "));
  if (at == std::string::npos) return std::nullopt;
  return std::stod(text.substr(at + series.size() + 2));
}
double count_of(const Metrics& metrics, const std::string& histogram) {
  return value_of(metrics, "uhd_" + histogram + "_count{model=\"m\"}").value_or(-1);
}

TEST(Metrics, HistogramsHoldWhatHappenedAndNoZeros) {
  Metrics metrics("m");
  Usage text{.prompt_tokens = 10, .completion_tokens = 1};
  text.times = {.queue = 0.1, .prefill = 0.2, .ttft = 0.3, .total = 0.3};
  metrics.finished(FinishReason::stop, text, "");
  for (const char* happened : {"queue_seconds", "prefill_seconds", "ttft_seconds", "request_seconds",
                               "request_prompt_tokens", "request_completion_tokens", "request_images"}) {
    EXPECT_EQ(count_of(metrics, happened), 1) << happened;
  }
  for (const char* did_not : {"preprocess_seconds", "encode_seconds", "decode_seconds", "request_slices"}) {
    EXPECT_EQ(count_of(metrics, did_not), 0) << did_not;
  }
  Usage cached = text;  // a picture of which everything was kept
  cached.images.push_back({.slices = 6});
  cached.times.preprocess = 0.05;
  cached.times.decode = 0.5;
  metrics.finished(FinishReason::stop, cached, "");
  EXPECT_EQ(count_of(metrics, "preprocess_seconds"), 1);
  EXPECT_EQ(count_of(metrics, "encode_seconds"), 0) << "nothing was encoded";
  EXPECT_EQ(count_of(metrics, "decode_seconds"), 1);
  EXPECT_EQ(value_of(metrics, "uhd_request_slices_sum{model=\"m\"}"), 7) << "with the overview";
  EXPECT_EQ(value_of(metrics, "uhd_request_images_sum{model=\"m\"}"), 1);
}

TEST(Metrics, AnEncodersSeriesEndWithIt) {
  Metrics metrics("m");
  const auto of = [&](const std::string& name, int encoder) {
    return value_of(metrics, message("uhd_encoder_", name, "{model=\"m\",encoder=\"", encoder, "\"}"));
  };
  metrics.encoder({.encoder = 1, .slices = 3, .patches_per_second = 1000, .encoded = 5});
  metrics.encoder({.encoder = 2, .healthy = false, .encoded = 2, .failed = 4});
  EXPECT_EQ(of("slices", 1), 3);
  EXPECT_EQ(of("patches_per_second", 1), 1000);
  EXPECT_EQ(of("healthy", 1), 1);
  EXPECT_EQ(of("healthy", 2), 0);
  EXPECT_EQ(of("slices_encoded_total", 1), 5);
  EXPECT_EQ(of("slices_failed_total", 2), 4);
  metrics.encoder({.encoder = 1, .encoded = 9});
  EXPECT_EQ(of("slices_encoded_total", 1), 9);
  EXPECT_EQ(of("slices", 1), 0);
  metrics.encoder_gone(1);
  metrics.encoder_gone(1);
  EXPECT_EQ(of("slices", 1), std::nullopt);
  EXPECT_EQ(of("slices_encoded_total", 1), std::nullopt);
  EXPECT_EQ(of("slices_failed_total", 2), 4);
}

}  // namespace
}  // namespace uhd
