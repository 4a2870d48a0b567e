#include "model/language/step_memory.h"

#include <gtest/gtest.h>

#include <random>
#include <thread>

#include "cluster/host/local_communicator.h"
#include "kernels/draw.h"
#include "model/language/kv_cache.h"
#include "model/language/sampler.h"
#include "model/weights/parameters.h"

namespace uhd {
namespace {

constexpr StepLimits kLimits{.max_tokens = 40, .max_sequences = 5, .max_context = 96, .page_size = 16};

LanguageConfig small_config() {
  LanguageConfig c;
  c.vocabulary = 50;
  c.hidden = 24;
  c.layers = 2;
  c.heads = 4;
  c.kv_heads = 2;
  c.head_dim = 6;
  c.intermediate = 36;
  c.context = 128;
  return c;
}

// A step of so many tokens of each sequence; `rich`: with visual rows, ids that were drawn, and draws.
ForwardInput step_of(const std::vector<int>& lengths, int max_pages, bool rich) {
  ForwardInput in;
  in.q_offsets = {0};
  in.max_pages = max_pages;
  for (const int length : lengths) {
    in.q_offsets.push_back(in.q_offsets.back() + length);
    in.kv_lengths.push_back(length);
    in.sample_at.push_back(in.q_offsets.back() - 1);
  }
  const auto tokens = static_cast<size_t>(in.q_offsets.back());
  in.ids.assign(tokens, 1);
  in.positions.assign(tokens, 0);
  in.slots.assign(tokens, 0);
  in.page_table.assign(lengths.size() * static_cast<size_t>(max_pages), 0);
  if (!rich) return in;
  for (int32_t t = 0; t < (static_cast<int32_t>(tokens) + 1) / 2; ++t) in.score_at.push_back(t);
  in.draws.assign(lengths.size() * static_cast<size_t>(kDrawWords), 0);
  in.drawn_at.assign(tokens, -1);
  in.visual_rows.assign(tokens, 0);
  for (int32_t t = 0; t < static_cast<int32_t>(tokens); ++t) in.visual_at.push_back(t);
  return in;
}

Checkpoint zeros(const std::vector<Parameter>& parameters) {
  std::vector<std::unique_ptr<std::byte[]>> memory;
  std::map<std::string, Tensor> tensors;
  for (const Parameter& p : parameters) {
    memory.push_back(std::make_unique<std::byte[]>(static_cast<size_t>(p.shape.elements()) * sizeof(bf16)));
    tensors.emplace(p.name, Tensor(memory.back().get(), DType::bf16, p.shape));
  }
  return {std::move(tensors), std::move(memory)};
}

// One rank that computes on the CPU, with a workspace of its own size.
class Rank {
 public:
  explicit Rank(Communicator& group)
      : model_(model()),
        backend_(make_backend({.threads = 1})),
        llama_(model_, zeros(language_parameters(model_)), *backend_, group, WeightFormat::f32,
               kLimits.max_context),
        sampler_(*backend_, group, llama_.shard(), small_config().vocabulary, kLimits.max_sequences),
        cache_(*backend_, small_config().layers, llama_.shard().kv_heads, small_config().head_dim, 1,
               kLimits.page_size, DType::f32),
        visual_(backend_->allocate(1024)) {}

  size_t counted() const { return step_bytes(small_config(), llama_.shard(), kLimits, DType::f32); }

  // Returns what the step took of a workspace of so many bytes.
  size_t run(const ForwardInput& in, size_t bytes) {
    Workspace workspace(*backend_, bytes);
    const Tensor visual = visual_.as(DType::f32, {1, small_config().hidden});
    const StepInputs inputs = llama_.upload(in, visual, sampler_.drawn(), cache_, workspace);
    const Tensor logits = workspace.take(DType::f32, {inputs.sample_at.rows(), llama_.shard().ids});
    const auto scored = static_cast<int64_t>(in.score_at.size());
    Tensor rows;
    if (scored > 0) rows = workspace.take(DType::f32, {scored, small_config().hidden});
    llama_.compute(logits, inputs, cache_, workspace, rows);
    sampler_.choose(logits, inputs.draws, workspace);
    sampler_.fetch_logits(logits, workspace);
    if (scored > 0) {
      const int64_t count = std::min<int64_t>(scored, kRowsScoredAtOnce);
      const Tensor block = workspace.take(DType::f32, {count, llama_.shard().ids});
      llama_.score(block, rows.slice_rows(0, count));
      sampler_.score(block, std::vector<ScoreRow>(static_cast<size_t>(count)), workspace);
    }
    sampler_.take(std::vector<SampleRow>(in.sample_at.size()));
    return workspace.peak();
  }

 private:
  static ModelConfig model() {
    ModelConfig m;
    m.language = small_config();
    m.head = "head";
    return m;
  }

  ModelConfig model_;
  std::unique_ptr<Backend> backend_;
  Llama llama_;
  Sampler sampler_;
  KvCache cache_;
  DeviceBuffer visual_;
};

void on_every_rank(int ranks, const std::function<void(Communicator&)>& body) {
  auto group = make_local_communicators(ranks);
  std::vector<std::jthread> threads;
  for (int rank = 0; rank < ranks; ++rank)
    threads.emplace_back([&, rank] { body(*group[static_cast<size_t>(rank)]); });
}

TEST(StepMemory, IsExactlyWhatTheLargestStepTakes) {
  for (const int ranks : {1, 2}) {
    on_every_rank(ranks, [](Communicator& group) {
      Rank rank(group);
      EXPECT_EQ(rank.run(step_of({8, 8, 8, 8, 8}, 6, true), rank.counted()), rank.counted());
    });
  }
  on_every_rank(1, [](Communicator& group) {
    Rank rank(group);
    EXPECT_THROW(rank.run(step_of({8, 8, 8, 8, 8}, 6, true), rank.counted() - 64), Error);
  });
}

TEST(StepMemory, IsEnoughForEverySmallerStep) {
  for (const int ranks : {1, 2}) {
    on_every_rank(ranks, [](Communicator& group) {
      Rank rank(group);
      std::mt19937 random(5);
      for (int i = 0; i < 60; ++i) {
        std::vector<int> lengths(1 + random() % 5);
        for (int& length : lengths) length = 1 + static_cast<int>(random() % 8);
        EXPECT_LE(
            rank.run(step_of(lengths, 1 + static_cast<int>(random() % 6), random() % 2 == 0), rank.counted()),
            rank.counted());
      }
    });
  }
}

// A step that decodes is padded with sequences beyond the token budget.
TEST(StepMemory, CoversMoreSequencesThanTokens) {
  const LanguageShard shard = shard_of(small_config(), 0, 1);
  StepLimits few = kLimits;
  few.max_tokens = 2;
  StepLimits as_many = kLimits;
  as_many.max_tokens = few.max_sequences;
  EXPECT_EQ(step_bytes(small_config(), shard, few, DType::f32),
            step_bytes(small_config(), shard, as_many, DType::f32));
}

// On the host, where memory is taken when it is touched, a sequence takes what its pages are and no more.
TEST(KvCache, KeepsAPageOfAllLayersTogetherOnTheHost) {
  const auto backend = make_backend({.threads = 1});
  const size_t before = backend->allocated();
  KvCache cache(*backend, 3, 2, 8, 5, 16, DType::bf16);
  const size_t page = KvCache::bytes_per_page(3, 2, 8, 16, DType::bf16);
  EXPECT_EQ(backend->allocated() - before, 5 * page);
  const auto at = [&](Tensor t, int64_t i) { return static_cast<char*>(t.slice_rows(i, 1).raw()); };
  char* const first = at(cache.layer(0).k, 0);
  for (int64_t i = 0; i < 5; ++i) {
    for (int layer = 0; layer < 3; ++layer) {
      char* const place = first + static_cast<size_t>(i) * page + static_cast<size_t>(layer) * page / 3;
      EXPECT_EQ(at(cache.layer(layer).k, i), place);
      EXPECT_EQ(at(cache.layer(layer).v, i), place + page / 6);
    }
  }
}

TEST(StepMemory, CountsInTheTypeOfActivations) {
  const LanguageShard shard = shard_of(small_config(), 0, 1);
  const size_t wide = step_bytes(small_config(), shard, kLimits, DType::f32);
  const size_t narrow = step_bytes(small_config(), shard, kLimits, DType::bf16);
  EXPECT_LT(narrow, wide);
  EXPECT_GT(narrow, wide / 2);
}

}  // namespace
}  // namespace uhd
