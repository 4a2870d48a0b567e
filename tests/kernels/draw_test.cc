// Tokens are drawn by the rules of kernels/draw.h, the same on every backend.
#include "kernels/draw.h"

#include <cmath>
#include <limits>
#include <random>

#include "tests/kernels/support.h"

namespace uhd {
namespace {

using Drawing = OperationTest;

constexpr float kInfinity = std::numeric_limits<float>::infinity();

struct Batch {
  std::vector<std::vector<float>> logits;  // of a row
  std::vector<Draw> draws;
};

// Returns the ids drawn from the logits as `shards` shards hold them; the padding behind the vocabulary is
// tempting.
std::vector<int32_t> drawn(Backend& backend, const Batch& batch, int64_t shards) {
  const auto rows = static_cast<int64_t>(batch.logits.size());
  const auto vocabulary = static_cast<int64_t>(batch.logits[0].size());
  const int64_t width = (vocabulary + shards - 1) / shards + (shards > 1 ? 1 : 0);
  std::vector<float> values(static_cast<size_t>(shards * rows * width), 1000.0f);
  std::vector<int32_t> words, ids(static_cast<size_t>(rows), -7);
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t id = 0; id < vocabulary; ++id) {
      const int64_t at = (id / width * rows + row) * width + id % width;
      values[static_cast<size_t>(at)] = batch.logits[static_cast<size_t>(row)][static_cast<size_t>(id)];
    }
    const auto* draw = reinterpret_cast<const int32_t*>(&batch.draws[static_cast<size_t>(row)]);
    words.insert(words.end(), draw, draw + kDrawWords);
  }
  backend.draw(indices(ids), Tensor::of(values.data(), {shards, rows, width}), vocabulary,
               indices(words).reshaped({rows, kDrawWords}));
  return ids;
}

std::vector<int32_t> wanted(const Batch& batch) {
  std::vector<int32_t> ids;
  for (size_t row = 0; row < batch.logits.size(); ++row) {
    ids.push_back(reference::draw(batch.logits[row], batch.draws[row]));
  }
  return ids;
}

// Every kind of cut, alone and together, over logits with many equal ones.
Batch batch_of(int vocabulary, unsigned seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal(0.0f, 3.0f);
  Batch batch;
  for (const float temperature : {1.0f, 0.3f, 20.0f}) {
    for (const auto& [top_k, top_p, min_p] :
         {std::tuple{0, 1.0f, 0.0f}, {5, 1.0f, 0.0f}, {0, 0.8f, 0.0f}, {0, 1.0f, 0.1f}, {40, 0.9f, 0.02f}}) {
      std::vector<float> logits;
      for (int id = 0; id < vocabulary; ++id) logits.push_back(std::round(normal(random) * 4) / 4);
      batch.logits.push_back(std::move(logits));
      batch.draws.push_back(make_draw(temperature, top_k, top_p, min_p, random()));
    }
  }
  return batch;
}

TEST_P(Drawing, FollowsTheRules) {
  for (const int vocabulary : {3, 40, 1100}) {
    const Batch batch = batch_of(vocabulary, static_cast<unsigned>(vocabulary));
    const std::vector<int32_t> ids = wanted(batch);
    for (const int64_t shards : {1, 3}) {
      EXPECT_EQ(drawn(*backend_, batch, shards), ids) << vocabulary << " ids on " << shards << " shards";
    }
  }
}

// The ends of every range, and logits that are no numbers.
TEST_P(Drawing, HoldsAtTheEdges) {
  const std::vector<float> equal(70, 1.5f), plain = {0.0f, 2.0f, -1.0f, 2.0f, 1.0f};
  const uint64_t last = ~uint64_t{0};
  Batch batch;
  const auto add = [&](std::vector<float> logits, const Draw& how) {
    logits.resize(70, -kInfinity);
    batch.logits.push_back(std::move(logits));
    batch.draws.push_back(how);
  };
  for (const uint64_t share : {uint64_t{0}, uint64_t{1} << 63, last}) {
    add(equal, make_draw(1.0f, 0, 1.0f, 0.0f, share));
    add(equal, make_draw(1.0f, 33, 1.0f, 0.0f, share));
    add(equal, make_draw(1.0f, 0, 0.5f, 0.0f, share));
    add(plain, make_draw(1.0f, 1, 1.0f, 0.0f, share));
    add(plain, make_draw(1.0f, 0, 0.0f, 0.0f, share));
    add(plain, make_draw(1.0f, 0, 1.0f, 1.0f, share));
    add(plain, make_draw(1e-38f, 0, 1.0f, 0.0f, share));
    add(plain, make_draw(1e30f, 100, 0.99f, 0.0f, share));
  }
  const float nan = std::numeric_limits<float>::quiet_NaN();
  add(plain, Draw{});
  add({-0.0f, 0.0f}, Draw{});
  add({nan, 1.0f, nan, 1.0f}, Draw{});
  add({nan, 1.0f, nan, 0.0f}, make_draw(1.0f, 3, 0.9f, 0.0f, last));
  add({nan, nan}, make_draw(1.0f, 0, 1.0f, 0.0f, 1));
  add({1.0f, kInfinity}, make_draw(1.0f, 0, 1.0f, 0.0f, 1));
  add({-kInfinity}, Draw{});
  const std::vector<int32_t> ids = drawn(*backend_, batch, 1);
  EXPECT_EQ(ids, wanted(batch));
  EXPECT_EQ(drawn(*backend_, batch, 3), ids);
  EXPECT_EQ(std::vector<int32_t>(ids.end() - 7, ids.end()), (std::vector<int32_t>{1, 0, 1, 3, -1, -1, -1}));
}

UHD_FOR_EVERY_BACKEND(Drawing);

TEST(DrawWeight, IsTheProbability) {
  double worst = 0;
  for (uint32_t distance = 0; distance < kNeverDrawn; distance += 4099) {
    const double want = std::exp2(44 - static_cast<double>(distance) / (1 << 24));
    worst = std::max(worst, std::abs(static_cast<double>(draw_weight(distance)) - want) / (want * 1e-8 + 1));
  }
  EXPECT_LT(worst, 1.001);
  EXPECT_EQ(draw_weight(0), uint64_t{1} << 44);
  EXPECT_EQ(draw_weight(kNeverDrawn - 1), 1u);
  EXPECT_EQ(draw_weight(kNeverDrawn), 0u);
  EXPECT_EQ(draw_distance(1.0f, 3.0f, make_draw(2.0f, 0, 1, 0, 0).scale), 24204406u);
}

}  // namespace
}  // namespace uhd
