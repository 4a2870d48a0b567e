// Compares the sizes that pass_bytes counts with passes of real towers of every family.
#include "model/vision/tower_memory.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "model/vision/slice_rows.h"
#include "model/vision/vision_tower.h"
#include "tests/model/golden_model.h"

namespace uhd {
namespace {

constexpr EncoderLimits kLimits{.max_patches = 120, .max_slices = 6};

// A tower on the CPU, with a workspace of its own size.
class Tower {
 public:
  explicit Tower(const GoldenModel& model)
      : config_(model.config),
        backend_(make_backend({.threads = 1})),
        tower_(make_vision_tower(config_, model.checkpoint, model.tower(), *backend_, WeightFormat::f32)) {}

  size_t counted() const { return pass_bytes(config_, kLimits, DType::f32, true); }

  // Returns what the pass took of a workspace of so many bytes.
  size_t run(const std::vector<PatchGrid>& pass, size_t bytes) {
    Workspace workspace(*backend_, bytes);
    const int side = config_.vision->patch;
    std::vector<PixelSlice> slices;
    int64_t pixels = 0, rows = 0;
    for (const PatchGrid& grid : pass) {
      slices.push_back({pixels, grid.columns * side, grid.rows * side});
      pixels += grid.patches() * side * side * 3;
      rows += slice_rows_of(config_).of(grid);
    }
    const DeviceBuffer out = backend_->allocate(static_cast<size_t>(rows * config_.language.hidden) * 4);
    const Tensor grey = workspace.take(DType::u8, {pixels});
    std::fill_n(grey.data<uint8_t>(), pixels, uint8_t{128});
    tower_->forward(out.as(DType::f32, {rows, config_.language.hidden}), grey, slices, workspace).finish();
    return workspace.peak();
  }

 private:
  ModelConfig config_;
  std::unique_ptr<Backend> backend_;
  std::unique_ptr<VisionTower> tower_;
};

std::vector<std::filesystem::path> folders_with_towers() {
  auto folders = golden_model_folders();
  std::erase_if(folders, [](const auto& folder) { return !GoldenModel(folder).config.vision; });
  return folders;
}

class TowerMemory : public testing::TestWithParam<std::filesystem::path> {};

TEST_P(TowerMemory, IsExactlyWhatTheLargestPassTakes) {
  Tower tower{GoldenModel(GetParam())};
  size_t most = 0;
  for (const auto& pass : largest_passes(kLimits)) {
    int64_t patches = 0;
    for (const PatchGrid& grid : pass) patches += grid.patches();
    EXPECT_EQ(patches, kLimits.max_patches);
    EXPECT_EQ(pass.size(), static_cast<size_t>(kLimits.max_slices));
    most = std::max(most, tower.run(pass, tower.counted()));
  }
  EXPECT_EQ(most, tower.counted());
}

TEST_P(TowerMemory, IsEnoughForEverySmallerPass) {
  Tower tower{GoldenModel(GetParam())};
  const size_t counted = tower.counted();
  std::mt19937 random(7);
  const auto below = [&](int64_t end) { return static_cast<int>(random() % static_cast<uint64_t>(end)); };
  for (int i = 0; i < 60; ++i) {
    std::vector<PatchGrid> pass;
    int64_t left = kLimits.max_patches;
    const int slices = 1 + below(kLimits.max_slices);
    for (int s = 0; s < slices && left > 0; ++s) {
      const int rows = 1 + below(std::min<int64_t>(left, 12));
      pass.push_back({rows, 1 + below(left / rows)});
      left -= pass.back().patches();
    }
    EXPECT_LE(tower.run(pass, counted), counted);
  }
}

INSTANTIATE_TEST_SUITE_P(Models, TowerMemory, testing::ValuesIn(folders_with_towers()), [](const auto& each) {
  std::string name = each.param.filename().string();
  std::ranges::replace_if(
      name, [](char c) { return std::isalnum(static_cast<unsigned char>(c)) == 0; }, '_');
  return name;
});

}  // namespace
}  // namespace uhd
