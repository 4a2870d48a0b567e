// Checks that the choice is the same whatever the number of ranks that hold the vocabulary.
#include <gtest/gtest.h>

#include <thread>

#include "cluster/host/local_communicator.h"
#include "model/language/sampler.h"

namespace uhd {
namespace {

constexpr int kVocabulary = 11;

LanguageConfig config() {
  LanguageConfig c;
  c.heads = c.kv_heads = 16;
  c.intermediate = 16;
  c.vocabulary = kVocabulary;
  return c;
}

// Runs `use` on each rank for the given rows, of which `ranks` ranks hold a part each; padding is made
// tempting.
using Use = std::function<void(Sampler&, Tensor logits, Workspace&)>;
void on_shards(int ranks, const std::vector<std::vector<float>>& rows, const std::function<Use(int)>& use) {
  auto group = make_local_communicators(ranks);
  {
    std::vector<std::jthread> threads;
    for (int rank = 0; rank < ranks; ++rank) {
      threads.emplace_back([&, rank] {
        const auto backend = make_backend({.threads = 1});
        const LanguageShard shard = shard_of(config(), rank, ranks);
        Sampler sampler(*backend, *group[static_cast<size_t>(rank)], shard, kVocabulary,
                        static_cast<int>(rows.size()));
        Workspace workspace(*backend, size_t{1} << 20);
        std::vector<float> own;
        for (const auto& row : rows) {
          for (int i = 0; i < shard.ids; ++i) {
            own.push_back(i < shard.real_ids ? row[static_cast<size_t>(shard.first_id + i)] : 1000.0f);
          }
        }
        const Shape shape{static_cast<int64_t>(rows.size()), shard.ids};
        const DeviceBuffer memory = backend->allocate(own.size() * sizeof(float));
        const Tensor logits = memory.as(DType::f32, shape);
        backend->upload(logits, Tensor::of(own.data(), shape));
        use(rank)(sampler, logits, workspace);
      });
    }
  }
}

// Returns the choice of rank 0.
std::vector<SampledToken> choose(int ranks, const std::vector<std::vector<float>>& rows, TokenChoice choice,
                                 const std::vector<SampleRow>& how) {
  std::vector<SampledToken> chosen;
  on_shards(ranks, rows, [&](int rank) -> Use {
    return [&, rank](Sampler& sampler, Tensor logits, Workspace& workspace) {
      auto tokens = sampler.sample(
          logits, choice, rank == 0 || choice != TokenChoice::by_host ? how : std::vector<SampleRow>{},
          workspace);
      if (rank == 0) chosen = std::move(tokens);
    };
  });
  return chosen;
}

const std::vector<std::vector<float>> kRows{{0, 1, 5, 2, 3, 4, 5, 1, 0, 2, 5},
                                            {-9, -8, -7, -6, -5, -4, -3, -2, -1, -2, -3},
                                            {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}};

class SamplerOn : public testing::TestWithParam<int> {};

TEST_P(SamplerOn, GreedyTakesTheLowestOfTheLargest) {
  const auto tokens = choose(GetParam(), kRows, TokenChoice::greedy, {});
  ASSERT_EQ(tokens.size(), 3u);
  EXPECT_EQ(tokens[0].id, 2);
  EXPECT_EQ(tokens[1].id, 8);
  EXPECT_EQ(tokens[2].id, 0);
}

TEST_P(SamplerOn, DrawsAsOneRankDoes) {
  for (uint64_t step = 0; step < 10; ++step) {
    const std::vector<SampleRow> how{{.rule = {.logprobs = 3}, .seed = 3, .step = step},
                                     {.rule = {.top_p = 0.9f}, .seed = 4, .step = step},
                                     {.rule = {.temperature = 0}}};
    const auto one = choose(1, kRows, TokenChoice::by_host, how);
    const auto many = choose(GetParam(), kRows, TokenChoice::by_host, how);
    ASSERT_EQ(many.size(), one.size());
    for (size_t i = 0; i < one.size(); ++i) {
      EXPECT_EQ(many[i].id, one[i].id);
      EXPECT_EQ(many[i].logprob, one[i].logprob);
      EXPECT_EQ(many[i].top, one[i].top);
    }
  }
}

TEST_P(SamplerOn, ScoresAsOneRowIsScored) {
  const std::vector<ScoreRow> asked{{2, 2}, {10, 0}, {0, 20}};
  on_shards(GetParam(), kRows, [&](int rank) -> Use {
    return [&, rank](Sampler& sampler, Tensor logits, Workspace& workspace) {
      const auto scores = sampler.score(logits, rank == 0 ? asked : std::vector<ScoreRow>{}, workspace);
      ASSERT_EQ(scores.size(), rank == 0 ? 3u : 0u);
      for (size_t i = 0; i < scores.size(); ++i) {
        std::vector<float> row = kRows[i];
        const ScoredToken alone = score_row(row, asked[i]);
        EXPECT_EQ(scores[i].logprob, alone.logprob);
        EXPECT_EQ(scores[i].rank, alone.rank);
        EXPECT_EQ(scores[i].top, alone.top);
      }
    };
  });
}

TEST_P(SamplerOn, TheBackendDrawsWhatTheHostDraws) {
  for (uint64_t step = 0; step < 10; ++step) {
    const std::vector<SampleRow> how{{.rule = {.temperature = 2, .top_k = 5}, .seed = 3, .step = step},
                                     {.rule = {.top_p = 0.9f, .min_p = 0.01f}, .seed = 4, .step = step},
                                     {.rule = {.temperature = 0}}};
    const auto host = choose(GetParam(), kRows, TokenChoice::by_host, how);
    const auto backend = choose(GetParam(), kRows, TokenChoice::drawn, how);
    ASSERT_EQ(backend.size(), host.size());
    for (size_t i = 0; i < host.size(); ++i) EXPECT_EQ(backend[i].id, host[i].id);
  }
}

// Rows with masks are chosen by the backend as by the host, beside one without.
TEST_P(SamplerOn, MasksHoldOnEveryShard) {
  const std::vector<int32_t> odd{0b01010101010}, last{1 << 10};
  for (uint64_t step = 0; step < 10; ++step) {
    std::vector<SampleRow> how{{.rule = {.temperature = 2}, .seed = 3, .step = step, .mask = odd},
                               {.rule = {.temperature = 1}, .seed = 4, .step = step},
                               {.rule = {.temperature = 1}, .seed = 5, .step = step, .mask = last}};
    const auto host = choose(GetParam(), kRows, TokenChoice::by_host, how);
    const auto backend = choose(GetParam(), kRows, TokenChoice::drawn, how);
    EXPECT_EQ(host[0].id % 2, 1);
    EXPECT_EQ(host[2].id, 10);
    for (size_t i = 0; i < host.size(); ++i) EXPECT_EQ(backend[i].id, host[i].id);
  }
  const auto largest =
      choose(GetParam(), kRows, TokenChoice::greedy, {{.mask = odd}, {.mask = odd}, {.mask = last}});
  EXPECT_EQ(largest[0].id, 5) << "4 of the ids 1, 3, 5, 7, 9";
  EXPECT_EQ(largest[1].id, 7);
  EXPECT_EQ(largest[2].id, 10);
}

INSTANTIATE_TEST_SUITE_P(Ranks, SamplerOn, testing::Values(1, 2, 4, 8, 16));

}  // namespace
}  // namespace uhd
