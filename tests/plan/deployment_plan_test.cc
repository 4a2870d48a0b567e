#include "plan/deployment_plan.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <limits>
#include <random>
#include <string>

#include "base/error.h"
#include "base/mapped_file.h"
#include "cluster/host/local_communicator.h"
#include "engine/launch/llm_rank.h"
#include "model/language/kv_cache.h"
#include "model/language/step_memory.h"
#include "model/weights/parameters.h"
#include "model/weights/shard.h"
#include "plan/geometries.h"
#include "plan/step_cost.h"

namespace uhd {
namespace {

const std::vector<int> kRanks{1, 2, 4, 8};

ModelConfig text_model(const LanguageConfig& language) {
  ModelConfig model;
  model.language = language;
  return model;
}

// The released LLaVA-UHD, its separators one token each.
ModelConfig llava_uhd_13b() {
  ModelConfig model = text_model(k13b);
  model.family = Family::llava_uhd_v1;
  model.vision = kTower;
  model.resampler = kResampler;
  model.layout.column_separator = {29892};
  model.layout.row_separator = {13};
  return model;
}

const DeviceRoof& device_named(const std::string& name) {
  for (const DeviceRoof& device : known_devices())
    if (name == device.name) return device;
  throw Error("no device " + name);
}

RankPlan plan_of(const ModelConfig& model, const DeviceRoof& device, int ranks,
                 const PlanQuestion& question = {}) {
  return plan_ranks(model, question, request_shape(model, question), device, ranks);
}

int64_t fixed_bytes(const RankPlan& plan) {
  return plan.memory.weights + plan.memory.steps + plan.memory.visual_rows + plan.tower.weights +
         plan.tower.pass;
}

TEST(RequestShape, IsExactFromThePicturesSize) {
  const ModelConfig model = llava_uhd_13b();
  const RequestShape page = request_shape(model, {});
  EXPECT_EQ(page.patches, (std::vector<int>{576, 576, 576, 576, 576, 576, 19 * 29}));
  EXPECT_EQ(page.visual_tokens, 1008);
  EXPECT_EQ(page.layout_tokens, 6);
  EXPECT_EQ(page.prompt_rows, 1008 + 6 + 64);
  EXPECT_EQ(page.tokens, page.prompt_rows + 256);
  const RequestShape other = request_shape(model, {.picture = {672, 1088}, .prompt = 0, .answer = 1});
  EXPECT_EQ(other.patches, (std::vector<int>{552, 552, 552, 552, 552, 552, 18 * 30}));
  EXPECT_EQ(other.tokens, 1008 + 6 + 1);
  const RequestShape small = request_shape(model, {.picture = {100, 100}});
  EXPECT_EQ(small.patches, std::vector<int>{576});
  EXPECT_EQ(small.visual_tokens, 144);
  EXPECT_EQ(small.layout_tokens, 0);
  const RequestShape text = request_shape(text_model(k7b), {});
  EXPECT_TRUE(text.patches.empty());
  EXPECT_EQ(text.prompt_rows, 64);
}

TEST(RequestShape, RefusesWhatTheEngineWouldRefuse) {
  const ModelConfig model = llava_uhd_13b();
  constexpr int64_t kLargest = std::numeric_limits<int64_t>::max();
  constexpr int64_t kSmallest = std::numeric_limits<int64_t>::min();
  for (const Size bad : {Size{0, 5}, Size{5, 0}, Size{-5, 5}, Size{1000000000, 1}, Size{1, 1000000000},
                         Size{kLargest, kLargest}, Size{kLargest, 1}, Size{kSmallest, kSmallest},
                         Size{32768, 32768}, Size{10, 2000}}) {
    EXPECT_THROW(request_shape(model, {.picture = bad}), Error) << bad.width << "x" << bad.height;
  }
  for (const int64_t bad : {int64_t{-1}, kLargest, kSmallest, int64_t{4096}}) {
    EXPECT_THROW(request_shape(model, {.prompt = bad}), Error) << bad;
    EXPECT_THROW(request_shape(model, {.answer = bad}), Error) << bad;
  }
  EXPECT_THROW(request_shape(model, {.answer = 0}), Error);
  EXPECT_THROW(request_shape(text_model(k7b), {.prompt = 0}), Error);
  EXPECT_THROW(request_shape(model, {.prompt = kLargest, .answer = kLargest}), Error);
}

TEST(RequestShape, OfAnySizeIsRefusedOrWhole) {
  const ModelConfig model = llava_uhd_13b();
  std::mt19937_64 random(5);
  int planned = 0;
  for (int i = 0; i < 20000; ++i) {
    const auto side = [&] {
      const auto value = static_cast<int64_t>(random() >> (random() % 64));
      return random() % 8 == 0 ? -value : value;
    };
    const Size size{side(), side()};
    try {
      const RequestShape shape = request_shape(model, {.picture = size});
      ++planned;
      EXPECT_EQ(shape.patches.size(), static_cast<size_t>(shape.picture.pieces()));
      EXPECT_EQ(shape.visual_tokens, 144 * shape.picture.pieces());
    } catch (const Error&) {
    }
  }
  EXPECT_GT(planned, 100);
}

TEST(DeploymentPlan, MemoryIsTheSumOfWhatItsPartsTake) {
  const ModelConfig model = llava_uhd_13b();
  const EngineOptions usual;
  for (const WeightFormat format : {WeightFormat::bf16, WeightFormat::int4}) {
    for (const int ranks : kRanks) {
      const PlanQuestion question{.format = format};
      const RankPlan plan = plan_of(model, known_devices()[0], ranks, question);
      const LanguageShard shard = shard_of(k13b, 0, ranks);
      EXPECT_EQ(plan.memory.weights, weight_bytes(language_parameters(model), k13b, ranks, format));
      const int sequences = static_cast<int>(std::max<int64_t>(plan.sequences, usual.max_running));
      EXPECT_EQ(plan.memory.steps, step_bytes(k13b, shard, {512, sequences, 4096, 64}, DType::bf16));
      EXPECT_EQ(plan.memory.page, KvCache::bytes_per_page(40, shard.kv_heads, 128, 64, DType::bf16));
      EXPECT_EQ(plan.tower.weights,
                weight_bytes(vision_parameters(model), k13b, 1, WeightFormat::bf16) +
                    weight_bytes(resampler_parameters(model), k13b, 1, WeightFormat::bf16));
      EXPECT_NEAR(static_cast<double>(plan.kv_bytes), 0.9 * (80e9 - static_cast<double>(fixed_bytes(plan))),
                  1);
      EXPECT_EQ(plan.kv_tokens, plan.kv_bytes / plan.memory.page * 64);
      EXPECT_EQ(plan.sequences, plan.kv_tokens / 4096);
      PlanQuestion separate = question;
      separate.separate_encoders = true;
      const RankPlan lighter = plan_of(model, known_devices()[0], ranks, separate);
      EXPECT_GT(plan.tower.pass, 0);
      EXPECT_EQ(lighter.tower.weights + lighter.tower.pass, 0);
      EXPECT_GE(lighter.sequences, plan.sequences);
    }
  }
}

// The plan has the sizes that a rank of the bundled model really takes on the CPU. It leaves out what pads
// matrices, the table of rotations, and rows on their way.
TEST(DeploymentPlan, MemoryIsThatOfARunningRank) {
  EngineOptions options;
  options.model_path = "models/nano-uhd";
  options.token_budget = 48;
  options.max_running = 3;
  options.page_size = 16;
  options.context_length = 1000;
  options.kv_memory_bytes = 16 << 20;
  options.backend.threads = 1;
  for (const auto& [cache, format] : {std::pair(0, WeightFormat::f32), {1 << 20, WeightFormat::bf16}}) {
    options.visual_cache_bytes = cache;
    options.dtype = name_of(format);
    const ModelFiles files = open_model(options);
    auto groups = make_local_communicators(1);
    const LlmRank rank =
        make_llm_rank(files, options, {}, open_device(files, options), std::move(groups[0]), false);
    const RankMemory memory = llm_rank_memory(files.config, options, format, 1, RankPlace::host);
    const auto on_their_way = static_cast<int64_t>(rank.buffers->count() * rank.buffers->bytes_of_largest());
    const auto planned = static_cast<double>(memory.weights + memory.steps + memory.visual_rows +
                                             on_their_way + (rank.worker->sizes().pages + 1) * memory.page);
    EXPECT_NEAR(static_cast<double>(rank.device.backend->allocated()), planned, 0.02 * planned);
    EXPECT_EQ(memory.visual_rows,
              int64_t{rank.worker->sizes().visual_rows} * files.config.language.hidden * 4);
    EXPECT_EQ(options.kv_memory_bytes / memory.page, rank.worker->sizes().pages);
  }
}

TEST(DeploymentPlan, RoofsAreThoseOfTheDocumentedTable) {
  const std::string page = read_text_file("docs/gpu-tables.md");
  const char* const devices[] = {"H100", "H200", "A100", "L40S"};
  int rows = 0, dashes = 0;
  for (const auto& [name, language] : {std::pair{"7B", k7b}, {"13B", k13b}}) {
    const ModelConfig model = text_model(language);
    for (const int ranks : {1, 2}) {
      for (const int64_t context : {1024, 4096}) {
        for (const size_t at : {0, 1, 2}) {
          const int64_t sequences = std::vector<int64_t>{1, 8, 32}[at];
          const std::string begin =
              message("| ", name, " decode, ", sequences, " x ", context, " tokens | ", ranks, " |");
          const size_t line = page.find(begin);
          ASSERT_NE(line, std::string::npos) << begin;
          std::string want = page.substr(line, page.find('\n', line) - line), got;
          want = want.substr(
              want.find('|', want.find('|', want.find('|', want.find('|', begin.size()) + 1) + 1) + 1) + 1);
          for (const char* device : devices) {
            const DecodeRoof roof =
                plan_of(model, device_named(device), ranks, {.context = context}).decode.at(at);
            EXPECT_EQ(roof.sequences, sequences);
            char cell[32] = " - |";
            if (roof.fits) std::snprintf(cell, sizeof(cell), " %.2f |", roof.seconds * 1e3);
            dashes += roof.fits ? 0 : 1;
            got += cell;
          }
          EXPECT_EQ(got, want) << begin;
          ++rows;
        }
      }
    }
  }
  EXPECT_EQ(rows, 24);
  EXPECT_GT(dashes, 5);
  EXPECT_FALSE(plan_of(text_model(k7b), device_named("L40S"), 1).decode.at(2).fits) << "32 x 4096 tokens";
}

TEST(DeploymentPlan, MoreRanksHoldLessAndMore) {
  for (const ModelConfig& model : {llava_uhd_13b(), text_model(k7b)}) {
    for (DeviceRoof device : known_devices()) {
      device.link_speed = std::numeric_limits<double>::infinity();
      RankPlan before = plan_of(model, device, 1);
      ASSERT_GT(before.sequences, 0) << device.name;
      for (const int ranks : {2, 4, 8}) {
        const RankPlan plan = plan_of(model, device, ranks);
        EXPECT_LT(plan.memory.weights, before.memory.weights);
        EXPECT_GT(plan.sequences, before.sequences);
        EXPECT_LT(plan.prefill_s, before.prefill_s);
        EXPECT_LT(plan.first_token_s, before.first_token_s);
        EXPECT_LT(plan.decode[0].seconds, before.decode[0].seconds);
        EXPECT_EQ(plan.encode_s, before.encode_s) << "a piece is encoded on one device";
        EXPECT_GT(plan.requests_per_s, before.requests_per_s);
        EXPECT_GE(plan.encoders, before.encoders);
        before = plan;
      }
    }
  }
}

TEST(DeploymentPlan, MoreSequencesTakeLongerAndGiveMore) {
  for (const DeviceRoof& device : known_devices()) {
    const RankPlan plan = plan_of(text_model(k7b), device, 2);
    const DecodeRoof* before = nullptr;
    for (const DecodeRoof& roof : plan.decode) {
      EXPECT_TRUE(roof.fits);
      if (before != nullptr) {
        EXPECT_GT(roof.sequences, before->sequences);
        EXPECT_GT(roof.seconds, before->seconds);
        EXPECT_GT(roof.tokens_per_s, before->tokens_per_s);
      }
      before = &roof;
    }
    EXPECT_EQ(plan.decode.back().sequences, plan.sequences);
  }
}

TEST(DeploymentPlan, TheLeastTimeToTheFirstTokenIsNeverBelowItsParts) {
  const ModelConfig model = llava_uhd_13b();
  const DeviceRoof& h100 = known_devices()[0];
  PlanQuestion question;
  const RankPlan own = plan_of(model, h100, 2, question);
  const StepCost encoding =
      vision_cost(kTower, kResampler, k13b.hidden, request_shape(model, question).grids);
  EXPECT_EQ(own.encode_s, roof_seconds(encoding, h100));
  EXPECT_EQ(own.first_token_s, own.encode_s + own.prefill_s);
  question.separate_encoders = true;
  const RankPlan separate = plan_of(model, h100, 2, question);
  EXPECT_LT(separate.first_token_s, own.first_token_s);
  EXPECT_GE(separate.first_token_s, separate.prefill_s);
  // A first slice that takes as long as all of the rest: on slow devices for a short prompt.
  const PatchGrid slice{24, 24};
  const double first = roof_seconds(vision_cost(kTower, kResampler, k13b.hidden, {&slice, 1}), h100);
  EXPECT_GE(separate.first_token_s, first);
}

TEST(DeploymentPlan, EncodersAreAsManyAsPicturesAskFor) {
  const ModelConfig model = llava_uhd_13b();
  const DeviceRoof& l40s = device_named("L40S");
  for (const int64_t answer : {1, 16, 1000}) {
    const RankPlan plan = plan_of(model, l40s, 8, {.answer = answer});
    ASSERT_GT(plan.requests_per_s, 0);
    EXPECT_GE(plan.encoders, 1);
    EXPECT_GE(plan.encoders / plan.encode_s, plan.requests_per_s);
    EXPECT_LT((plan.encoders - 1) / plan.encode_s, plan.requests_per_s);
  }
  EXPECT_EQ(plan_of(text_model(k7b), l40s, 1).encoders, 0);
}

// The plan serves no slower than prefill and decoding by turns, and no faster than decoding alone or the
// products of prefill alone would allow.
TEST(DeploymentPlan, RequestsAreServedNoSlowerThanByTurns) {
  const ModelConfig model = llava_uhd_13b();
  for (const DeviceRoof& device : known_devices()) {
    for (const int64_t answer : {1, 2, 40, 1000}) {
      const PlanQuestion question{.answer = answer};
      const RequestShape request = request_shape(model, question);
      const RankPlan plan = plan_ranks(model, question, request, device, 2);
      const int64_t keys = request.prompt_rows + answer / 2;
      const std::vector<AttentionSpan> all(static_cast<size_t>(plan.serving), {1, keys});
      const auto sequences = static_cast<int>(plan.serving);
      const double step = step_roof(k13b, all, sequences, 2, question.format, device).seconds;
      const double decoding = static_cast<double>(answer - 1) * step / sequences;
      EXPECT_GT(plan.requests_per_s, 0.99 / (plan.prefill_s + decoding));
      EXPECT_LT(plan.requests_per_s * decoding, 1.01) << device.name << ", " << answer;
      DeviceRoof products = device;
      products.memory_speed = products.link_speed = std::numeric_limits<double>::infinity();
      EXPECT_LT(plan.requests_per_s * plan_ranks(model, question, request, products, 2).prefill_s, 1.01);
    }
  }
}

TEST(DeploymentPlan, SaysWhatIsMissingToTheByte) {
  const ModelConfig model = llava_uhd_13b();
  DeviceRoof device = device_named("L40S");
  device.memory = 20e9;
  const RankPlan none = plan_of(model, device, 1);
  EXPECT_EQ(none.sequences, 0);
  EXPECT_TRUE(none.decode.empty());
  EXPECT_EQ(none.kv_tokens, 0);
  ASSERT_GT(none.missing_bytes, 0);
  device.memory = 20e9 + static_cast<double>(none.missing_bytes) + 2;  // two roundings
  EXPECT_EQ(plan_of(model, device, 1).sequences, 1);
  device.memory -= 3;
  EXPECT_EQ(plan_of(model, device, 1).sequences, 0);
}

TEST(DeploymentPlan, RefusesContextsAndRanksThatTheModelDoesNotHave) {
  const ModelConfig model = text_model(k13b);
  for (const int64_t bad : {int64_t{0}, int64_t{-1}, int64_t{4097}, std::numeric_limits<int64_t>::max()}) {
    EXPECT_THROW(plan_of(model, known_devices()[0], 1, {.context = bad}), Error) << bad;
  }
  EXPECT_THROW(plan_of(model, known_devices()[0], 16), Error) << "of 40 heads";
  EXPECT_THROW(plan_of(model, known_devices()[0], 0), Error);
  const RankChoices choices = rank_choices(model.language, {1, 3, 8, 16});
  EXPECT_EQ(choices.ranks, (std::vector<int>{1, 8}));
  ASSERT_EQ(choices.refused.size(), 2u);
  EXPECT_NE(choices.refused[0].find("40 attention heads"), std::string::npos) << choices.refused[0];
}

TEST(DeploymentPlan, TokenBudgetHoldsTheHiddenRowsAndTheSequences) {
  const RankPlan plan = plan_of(text_model(k7b), device_named("H100"), 1);
  ASSERT_GT(plan.hidden_rows, 0);
  EXPECT_EQ(plan.hidden_beside, 8);
  EXPECT_EQ(plan.token_budget % 64, 0);
  EXPECT_GE(plan.token_budget, plan.hidden_rows + 8);
  EXPECT_LT(plan.token_budget, plan.hidden_rows + 8 + 64);
  EXPECT_GT(plan.hidden_slowdown, 0);
  EXPECT_LT(plan.hidden_slowdown, 0.25) << "little more than the decode step itself";
  EXPECT_EQ(plan_of(text_model(k7b), device_named("L40S"), 8).token_budget, 0) << "rows cost on the link";
}

// No config that read_model_config accepts makes a number that is not one.
TEST(DeploymentPlan, OfTheLargestAndSmallestModelsIsFinite) {
  const LanguageConfig vast{.layers = 1024,
                            .hidden = 1 << 16,
                            .heads = 1024,
                            .kv_heads = 1024,
                            .head_dim = 1024,
                            .intermediate = 1 << 20,
                            .vocabulary = 1 << 22,
                            .context = 1 << 24};
  const LanguageConfig tiny{.layers = 1,
                            .hidden = 2,
                            .heads = 1,
                            .kv_heads = 1,
                            .head_dim = 2,
                            .intermediate = 1,
                            .vocabulary = 1,
                            .context = 400};
  for (const LanguageConfig& language : {vast, tiny}) {
    for (const double scale : {1e-6, 1.0, 1e4}) {
      DeviceRoof device = known_devices()[0];
      device.memory *= scale;
      const RankPlan plan = plan_of(text_model(language), device, 1, {.context = language.context});
      EXPECT_GE(plan.kv_bytes, 0);
      EXPECT_GE(plan.kv_tokens, 0);
      EXPECT_EQ(plan.sequences > 0, plan.missing_bytes == 0);
      EXPECT_GE(plan.missing_bytes, 0);
      EXPECT_LE(plan.sequences, 65536);
      for (const double value :
           {plan.encode_s, plan.prefill_s, plan.first_token_s, plan.requests_per_s, plan.hidden_slowdown}) {
        EXPECT_TRUE(std::isfinite(value));
      }
    }
  }
}

}  // namespace
}  // namespace uhd
