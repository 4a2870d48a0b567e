// Tests how a rank's memory is used, on an emulated device of a size that the test chooses.
#include "engine/launch/memory_book.h"

#include <gmock/gmock.h>

#include <future>
#include <set>

#include "cluster/host/local_communicator.h"
#include "emulation/cuda.h"
#include "emulation/streams.h"
#include "engine/launch/llm_rank.h"
#include "kernels/plugin.h"
#include "tests/engine/engine_fixture.h"

namespace uhd {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::ThrowsMessage;

constexpr int64_t kMiB = 1 << 20;
constexpr int64_t kPageBytes = int64_t{8} * 4 * 2 * 256 * 4;  // 8 tokens of the tiny model in f32

class CudaMemory : public testing::Test {
 protected:
  ~CudaMemory() override {
    EXPECT_EQ(emulation::failure(), "");
    emulation::set_devices(8);
  }
};

EngineOptions tiny(double share) {
  EngineOptions options = tiny_options(golden_case("uhd-v1-tiny/golden_text").model);
  options.backend.kind = "cuda";
  options.page_size = 8;
  options.max_running = 256;  // so that nothing but memory bounds the pages
  options.token_budget = 256;
  options.visual_cache_bytes = 1 << 20;
  options.kv_memory_bytes = 0;
  options.kv_memory_share = share;
  return options;
}

TEST_F(CudaMemory, IsBookedByUse) {
  emulation::set_devices(1, 256 * kMiB);
  const auto backend = make_cuda_backend({.kind = "cuda"});
  const size_t before = backend->allocated();
  MemoryBook plan(*backend);
  const DeviceBuffer weights = plan.take("weights", [&] { return backend->allocate(100 * kMiB); });
  const DeviceBuffer steps = plan.take("steps", [&] { return backend->allocate(30 * kMiB); });
  EXPECT_EQ(backend->allocated() - before, static_cast<size_t>(130 * kMiB));
  EXPECT_THAT(plan.summary(), AllOf(HasSubstr("weights 100.0 MiB, steps 30.0 MiB, beside them 0.0 KiB; "),
                                    HasSubstr(" MiB are left")));
  EngineOptions options;
  options.kv_memory_share = 0.5;
  EXPECT_EQ(plan.for_pages(options, 1), static_cast<int64_t>(backend->free_memory() / 2));
  options.kv_memory_bytes = 12345;
  EXPECT_EQ(plan.for_pages(options, 1), 12345);
}

// Rows on both sides of every border between forms of products; odd sizes, biases, results of both types.
TEST_F(CudaMemory, OfProductsIsTakenBefore) {
  constexpr int64_t kMostRows = 80;
  struct Matrix {
    int64_t n, k;
  };
  emulation::set_devices(1, 256 * kMiB);
  for (const WeightFormat compute : {WeightFormat::bf16, WeightFormat::f32}) {
    for (const bool codes : {false, true}) {
      BackendOptions options{.kind = "cuda", .quantize_activations = codes, .compute = compute};
      const auto backend = make_cuda_backend(options);
      backend->expect_rows(kMostRows);
      std::vector<Weight> weights;
      for (const WeightFormat format : {compute, WeightFormat::int8, WeightFormat::int4}) {
        for (const Matrix& m : {Matrix{40, 96}, {200, 64}, {33, 70}}) {
          const std::vector<float> values(static_cast<size_t>(m.n * m.k), 0.5f);
          weights.push_back(backend->pack(Tensor::of(values.data(), {m.n, m.k}), format));
        }
      }
      backend->take_scratch();
      const DType type = backend->activation_dtype();
      const DeviceBuffer in = backend->allocate(kMostRows * 96 * 4),
                         out = backend->allocate(kMostRows * 200 * 4);
      const DeviceBuffer bias = backend->allocate(200 * 4);
      const emulation::Counts before = emulation::counts();
      for (const Weight& w : weights) {
        for (const int64_t rows : {1, 2, 32, 33, 47, 80}) {
          for (const DType result : {type, DType::f32}) {
            backend->matmul(out.as(result, {rows, w.n}), in.as(type, {rows, w.k}), w,
                            {.bias = bias.as(DType::f32, {w.n}), .epilogue = Epilogue::gelu});
          }
        }
      }
      backend->synchronize();
      EXPECT_EQ(emulation::counts().taken, before.taken) << name_of(compute) << codes;
    }
  }
}

TEST_F(CudaMemory, ThatIsNotThereIsAnErrorWithTheNumbers) {
  emulation::set_devices(1, 256 * kMiB);
  const auto backend = make_cuda_backend({.kind = "cuda"});
  MemoryBook plan(*backend);
  const DeviceBuffer weights = plan.take("weights", [&] { return backend->allocate(100 * kMiB); });
  const size_t allocated = backend->allocated();
  EXPECT_THAT(
      [&] { plan.take("steps", [&] { return backend->allocate(200 * kMiB); }); },
      ThrowsMessage<OutOfMemory>(AllOf(HasSubstr("out of memory: 200.0 MiB wanted"),
                                       HasSubstr("it is for steps"), HasSubstr("weights 100.0 MiB"))));
  EXPECT_EQ(backend->allocated(), allocated);
}

// This runs every model of the goldens, in each format, on one rank and two: the rehearsal's size is
// the size that is taken, and building the rank for good takes nothing beside it. Only gaps that a freed
// temporary left behind, or the rounding of parts, may stay unused.
TEST_F(CudaMemory, OfARankIsThePieceThatWasPlanned) {
  std::set<std::filesystem::path> models;
  for (const GoldenCase& c : golden_cases(false)) models.insert(c.goldens);  // once for all layouts
  ASSERT_GE(models.size(), 3U);
  const ClusterOptions cluster;
  for (const auto& model : models) {
    for (const std::string quantize : {"none", "fp8", "int8", "int4"}) {
      for (const int size : {1, 2}) {
        if (size > 1 && quantize == "int4") continue;  // their shares would cut groups
        SCOPED_TRACE(message(model.filename().string(), ", ", quantize, ", ranks: ", size));
        emulation::set_devices(size, 400 * kMiB);
        EngineOptions options = tiny(0.5);
        options.model_path = model;
        options.quantize = quantize;
        options.kv_memory_bytes = 1 << 20;
        const ModelFiles files = open_model(options);
        auto groups = make_local_communicators(size);
        std::vector<std::future<void>> ranks;
        for (int r = 0; r < size; ++r) {
          ranks.push_back(std::async(std::launch::async, [&, r] {
            EngineOptions own = options;
            own.backend.local_rank = r;
            RankDevice device = open_device(files, own);
            const Backend& backend = *device.backend;
            device.transport.reset();  // sums by way of the host: no memory of NCCL's
            const size_t before = emulation::allocated_bytes(r);
            const LlmRank rank = make_llm_rank(files, own, cluster, std::move(device),
                                               std::move(groups[static_cast<size_t>(r)]), r == 0);
            EXPECT_GT(backend.reserved(), size_t{1} << 20);
            EXPECT_EQ(emulation::allocated_bytes(r) - before, backend.reserved());
            EXPECT_LT(backend.reserved() - backend.allocated(), backend.reserved() / 100 + 65536);
          }));
        }
        for (auto& rank : ranks) rank.get();
        EXPECT_EQ(emulation::failure(), "");
      }
    }
  }
}

// The error comes before a rank has read or sent anything, whatever is short.
TEST_F(CudaMemory, ThatCannotSufficeIsKnownBeforeAnythingIsTaken) {
  EngineOptions options = tiny(0.9);
  options.kv_memory_bytes = 64 << 20;
  const ModelFiles files = open_model(options);
  for (const int64_t left : {1 * kMiB, 12 * kMiB, 46 * kMiB, 100 * kMiB}) {
    emulation::set_devices(1, 400 * kMiB);
    RankDevice device = open_device(files, options);
    device.transport.reset();
    const size_t own = emulation::allocated_bytes(0);
    emulation::set_devices(1, static_cast<int64_t>(own) + left);
    EXPECT_THAT(
        [&] {
          make_llm_rank(files, options, {}, std::move(device), std::move(make_local_communicators(1)[0]),
                        true);
        },
        ThrowsMessage<OutOfMemory>(AllOf(HasSubstr("the device would be out of memory: "),
                                         HasSubstr("it is for "), HasSubstr(" were free: "))))
        << left;
    EXPECT_EQ(emulation::allocated_bytes(0), 0U);
  }
}

TEST_F(CudaMemory, OfABackendThatDoesNotFitIsAnErrorAndComesBack) {
  for (const int64_t device_bytes : {1 * kMiB, 10 * kMiB, 20 * kMiB}) {
    emulation::set_devices(1, device_bytes);
    EXPECT_THAT([&] { make_cuda_backend({.kind = "cuda"}); },
                ThrowsMessage<OutOfMemory>(AllOf(HasSubstr("device 0 is out of memory: "),
                                                 HasSubstr(" wanted for "), HasSubstr(" free"))))
        << device_bytes;
    EXPECT_EQ(emulation::allocated_bytes(0), 0U);
  }
}

// The memory of the tower of a leader that encodes is no part of the rest.
TEST_F(CudaMemory, TheRestOfADeviceIsPages) {
  constexpr int64_t kDevice = 200 * kMiB;
  for (const double share : {0.5, 0.9}) {
    emulation::set_devices(1, kDevice);
    const auto engine = make_engine(tiny(share), ranks(1, 0));
    const auto used = static_cast<int64_t>(emulation::allocated_bytes(0));
    const int64_t pages = (engine->stats().total_pages + 1) * kPageBytes;
    const auto left = static_cast<double>(kDevice - used + pages);
    // A page more or less, and the guards and graphs of the emulation.
    EXPECT_NEAR(static_cast<double>(pages) / left, share, 0.02) << "of " << left << " bytes";
  }
}

TEST_F(CudaMemory, WithoutRoomForAPageNothingStarts) {
  EngineOptions options = tiny(0.9);
  options.kv_memory_bytes = kPageBytes - 1;
  EXPECT_THAT(
      [&] { make_engine(options, ranks(1, 0)); },
      ThrowsMessage<Error>(AllOf(HasSubstr("does not hold one page: a page of 8 tokens takes 64.0 KiB"),
                                 HasSubstr("language model "), HasSubstr("vision tower "))));
}

}  // namespace
}  // namespace uhd
