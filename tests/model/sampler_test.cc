// Tests the choice of one token from one row of logits.
#include "model/language/sampler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace uhd {
namespace {

const std::vector<float> kLogits{1.0f, 3.0f, 2.0f, 3.0f, -1.0f};

SampledToken sampled(const SampleRow& row, std::vector<float> logits = kLogits) {
  return sample_row(logits, row);
}

// Counts how often each id comes out over many steps.
std::vector<double> shares(SampleRow row, std::vector<float> logits = kLogits, int draws = 20000) {
  std::vector<double> counts(logits.size(), 0);
  for (int i = 0; i < draws; ++i) {
    row.step = static_cast<uint64_t>(i);
    counts[static_cast<size_t>(sampled(row, logits).id)] += 1.0 / draws;
  }
  return counts;
}

// Each token against the softmax of the row, written out.
TEST(ScoreRow, IsTheLogarithmOfTheSoftmax) {
  double total = 0;
  for (const float x : kLogits) total += std::exp(x);
  const std::vector<int> ranks{4, 2, 3, 2, 5};  // two are equally likely
  for (int32_t id = 0; id < 5; ++id) {
    std::vector<float> logits = kLogits;
    const ScoredToken score = score_row(logits, {id, 3});
    const auto at = static_cast<size_t>(id);
    EXPECT_TRUE(score.valid);
    EXPECT_NEAR(score.logprob, std::log(std::exp(kLogits[at]) / total), 1e-6);
    EXPECT_EQ(score.rank, ranks[at]);
    ASSERT_EQ(score.top.size(), 3u);
    EXPECT_EQ(score.top[0].first, 1);
    EXPECT_EQ(score.top[1].first, 3);
    EXPECT_EQ(score.top[2].first, 2);
    EXPECT_NEAR(score.top[2].second, std::log(std::exp(2.0) / total), 1e-6);
  }
  std::vector<float> some{1, std::nanf(""), 1};
  EXPECT_NEAR(score_row(some, {0, 0}).logprob, std::log(0.5), 1e-6);
  std::vector<float> none(3, std::nanf(""));
  EXPECT_FALSE(score_row(none, {0, 0}).valid);
}

TEST(SampleRow, GreedyTakesTheLowestOfEqualIds) { EXPECT_EQ(sampled({.rule = {.temperature = 0}}).id, 1); }

TEST(SampleRow, FollowsTheDistribution) {
  const std::vector<float> logits{std::log(0.5f), std::log(0.3f), std::log(0.2f)};
  const auto found = shares({}, logits);
  EXPECT_NEAR(found[0], 0.5, 0.015);
  EXPECT_NEAR(found[1], 0.3, 0.015);
  EXPECT_NEAR(found[2], 0.2, 0.015);
  const auto cold = shares({.rule = {.temperature = 0.5f}}, logits);
  EXPECT_NEAR(cold[0], 0.25 / 0.38, 0.015);
}

TEST(SampleRow, TheSameSeedAndStepGiveTheSameToken) {
  for (uint64_t step = 0; step < 50; ++step) {
    EXPECT_EQ(sampled({.seed = 7, .step = step}).id, sampled({.seed = 7, .step = step}).id);
  }
  std::vector<int32_t> one, other;
  for (uint64_t step = 0; step < 50; ++step) {
    one.push_back(sampled({.seed = 7, .step = step}).id);
    other.push_back(sampled({.seed = 8, .step = step}).id);
  }
  EXPECT_NE(one, other);
}

TEST(SampleRow, TopKKeepsTheMostLikely) {
  const auto found = shares({.rule = {.top_k = 2}});
  EXPECT_NEAR(found[1], 0.5, 0.015);
  EXPECT_NEAR(found[3], 0.5, 0.015);
  for (uint64_t step = 0; step < 100; ++step) EXPECT_EQ(sampled({.rule = {.top_k = 1}, .step = step}).id, 1);
}

TEST(SampleRow, TopPKeepsTheSmallestSetThatReachesIt) {
  const std::vector<float> logits{std::log(0.5f), std::log(0.3f), std::log(0.15f), std::log(0.05f)};
  const auto found = shares({.rule = {.top_p = 0.7f}}, logits);
  EXPECT_NEAR(found[0], 0.5 / 0.8, 0.015);
  EXPECT_EQ(found[2], 0);
  EXPECT_EQ(found[3], 0);
  EXPECT_EQ(shares({.rule = {.top_p = 0.0f}}, logits, 200)[1], 0);
}

TEST(SampleRow, MinPDropsWhatIsFarBelowTheBest) {
  const std::vector<float> logits{std::log(0.6f), std::log(0.3f), std::log(0.1f)};
  const auto found = shares({.rule = {.min_p = 0.4f}}, logits);
  EXPECT_NEAR(found[0], 2.0 / 3, 0.015);
  EXPECT_EQ(found[2], 0);
}

TEST(SampleRow, PenaltiesLookAtPromptAndOutput) {
  const std::vector<int32_t> prompt{-1, 1, 99}, output{3, 3};
  SampleRow row{.rule = {.temperature = 0, .repetition_penalty = 2.0f}};
  row.prompt = prompt;
  row.output = output;
  EXPECT_EQ(sampled(row).id, 2);  // 1 and 3 fall to 1.5
  row = {.rule = {.temperature = 0, .presence_penalty = 0.5f}};
  row.output = output;
  EXPECT_EQ(sampled(row, {0, 0, 2.8f, 3.0f}).id, 2);
  row = {.rule = {.temperature = 0, .frequency_penalty = 0.15f}};
  row.output = output;
  EXPECT_EQ(sampled(row, {0, 0, 2.8f, 3.0f}).id, 2);
  row.output = std::span(output).first(1);
  EXPECT_EQ(sampled(row, {0, 0, 2.8f, 3.0f}).id, 3);
}

TEST(SampleRow, OnlyAllowedTokensAreDrawn) {
  const TokenRules some{{0, 4}, {}};
  EXPECT_EQ(sampled({.rule = {.temperature = 0}, .tokens = &some}).id, 0);
  const auto found = shares({.rule = {.temperature = 2}, .tokens = &some});
  EXPECT_EQ(found[1] + found[2] + found[3], 0);
  EXPECT_GT(found[4], 0);
  const std::vector<int32_t> banned{0, 4};
  EXPECT_EQ(sampled({.banned = banned, .tokens = &some}).id, 0) << "none is left: one of those allowed";
  const TokenRules beyond{{2, 1000}, {}};
  EXPECT_EQ(sampled({.tokens = &beyond}).id, 2);
}

TEST(SampleRow, ARunIsNeverCompleted) {
  const TokenRules rules{{}, {{1}, {0, 2, 3}, {2000}}};
  SampleRow row{.rule = {.temperature = 0}, .tokens = &rules};
  EXPECT_EQ(sampled(row).id, 3) << "1 is banned, and 3 is nothing's end yet";
  std::vector<int32_t> output{0, 2};
  row.output = output;
  EXPECT_EQ(sampled(row).id, 2);
  output = {2, 0};
  row.output = output;
  EXPECT_EQ(sampled(row).id, 3);
  const std::vector<int32_t> prompt{0, 2};
  row.output = {};
  row.prompt = prompt;
  EXPECT_EQ(sampled(row).id, 3) << "the prompt may hold it";
  EXPECT_EQ(row.choice(), TokenChoice::by_host);
}

TEST(SampleRow, BiasAndBansDecide) {
  const std::map<int32_t, float> bias{{4, 100.0f}, {1000, 5.0f}};
  const std::vector<int32_t> banned{1, 3};
  EXPECT_EQ(sampled({.rule = {.temperature = 0}, .logit_bias = &bias}).id, 4);
  EXPECT_EQ(sampled({.rule = {.temperature = 0}, .banned = banned}).id, 2);
  const std::vector<int32_t> all{0, 1, 2, 3, 4};
  EXPECT_TRUE(sampled({.banned = all}).valid);
}

TEST(SampleRow, LogprobsAreTheModelsOwn) {
  const std::map<int32_t, float> bias{{4, 100.0f}};
  const auto token = sampled({.rule = {.temperature = 0, .logprobs = 2}, .logit_bias = &bias});
  double total = 0;
  for (float x : kLogits) total += std::exp(static_cast<double>(x));
  EXPECT_EQ(token.id, 4);
  EXPECT_NEAR(token.logprob, -1 - std::log(total), 1e-5);
  ASSERT_EQ(token.top.size(), 2u);
  EXPECT_EQ(token.top[0].first, 1);
  EXPECT_EQ(token.top[1].first, 3);
  EXPECT_NEAR(token.top[0].second, 3 - std::log(total), 1e-5);
  EXPECT_EQ(sampled({.rule = {.temperature = 0, .logprobs = 99}}).top.size(), kLogits.size());
}

TEST(SampleRow, NonsenseInTheLogitsIsNotChosen) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float never = -std::numeric_limits<float>::infinity();
  EXPECT_EQ(sampled({.rule = {.temperature = 0}}, {nan, 1.0f, nan}).id, 1);
  EXPECT_FALSE(sampled({}, {nan, never, nan}).valid);
  EXPECT_FALSE(sampled({}, {1.0f, std::numeric_limits<float>::infinity()}).valid);
}

TEST(SampleRow, SaysWhereItsTokenIsChosen) {
  EXPECT_EQ((SampleRow{.rule = {.temperature = 0}}).choice(), TokenChoice::greedy);
  EXPECT_EQ((SampleRow{.rule = {.top_k = 3, .top_p = 0.5f, .min_p = 0.1f}}).choice(), TokenChoice::drawn);
  const std::vector<int32_t> banned{1};
  const std::map<int32_t, float> bias{{4, 1.0f}}, none;
  for (const SampleRow& row :
       {SampleRow{.rule = {.logprobs = 0}}, SampleRow{.rule = {.temperature = 0, .logprobs = 0}},
        SampleRow{.rule = {.temperature = 0, .repetition_penalty = 1.1f}},
        SampleRow{.rule = {.presence_penalty = 0.1f}}, SampleRow{.rule = {.frequency_penalty = 0.1f}},
        SampleRow{.logit_bias = &bias}, SampleRow{.banned = banned}}) {
    EXPECT_EQ(row.choice(), TokenChoice::by_host);
  }
  EXPECT_EQ((SampleRow{.logit_bias = &none}).choice(), TokenChoice::drawn);
  EXPECT_EQ((SampleRow{.masked = true}).choice(), TokenChoice::drawn);
}

TEST(RandomBits, AreEven) {
  double sum = 0;
  for (uint64_t i = 0; i < 10000; ++i) sum += static_cast<double>(random_bits(i % 3, i)) * 0x1p-64;
  EXPECT_NEAR(sum / 10000, 0.5, 0.02);
}

}  // namespace
}  // namespace uhd
