// Compares the sizes that pass_memory counts with passes of real towers of every family, and the rows of
// slices of several shapes in one pass with those of each alone.
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

  size_t counted() const { return pass_memory(config_, kLimits, DType::f32, true).most; }
  size_t counted_between_parts() const {
    return pass_memory(config_, kLimits, DType::f32, true).between_parts;
  }

  // Returns what the pass took of a workspace of so many bytes. Slice s shows noise of seed first_seed + s.
  size_t run(const std::vector<PatchGrid>& pass, size_t bytes, uint32_t first_seed = 0) {
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
    const Tensor seen = workspace.take(DType::u8, {pixels});
    for (size_t s = 0; s < slices.size(); ++s) {
      std::mt19937 noise(first_seed + static_cast<uint32_t>(s));
      const int64_t bytes_of_slice = int64_t{3} * slices[s].width * slices[s].height;
      std::generate_n(seen.data<uint8_t>() + slices[s].offset, bytes_of_slice,
                      [&] { return static_cast<uint8_t>(noise()); });
    }
    const Tensor written = out.as(DType::f32, {rows, config_.language.hidden});
    Parts parts = tower_->forward(written, seen, slices, workspace);
    while (parts.advance()) held_ = std::max(held_, workspace.used());
    rows_.assign(written.data<float>(), written.data<float>() + written.elements());
    return workspace.peak();
  }
  // The most that a pass held between its parts.
  size_t held_between_parts() const { return held_; }
  // The rows of the last pass.
  const std::vector<float>& rows() const { return rows_; }

 private:
  ModelConfig config_;
  std::unique_ptr<Backend> backend_;
  std::unique_ptr<VisionTower> tower_;
  std::vector<float> rows_;
  size_t held_ = 0;
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
  EXPECT_EQ(tower.held_between_parts(), tower.counted_between_parts());
  EXPECT_GT(tower.counted_between_parts(), 0u);
  EXPECT_LT(tower.counted_between_parts(), tower.counted());
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

TEST_P(TowerMemory, RowsOfASliceAreThoseThatItHasAlone) {
  Tower tower{GoldenModel(GetParam())};
  const std::vector<PatchGrid> pass{{3, 4}, {5, 2}, {1, 7}, {4, 4}, {3, 4}};
  std::vector<float> alone;
  for (uint32_t s = 0; s < pass.size(); ++s) {
    tower.run({pass[s]}, tower.counted(), s);
    alone.insert(alone.end(), tower.rows().begin(), tower.rows().end());
  }
  tower.run(pass, tower.counted());
  EXPECT_TRUE(tower.rows() == alone);
}

INSTANTIATE_TEST_SUITE_P(Models, TowerMemory, testing::ValuesIn(folders_with_towers()), [](const auto& each) {
  std::string name = each.param.filename().string();
  std::ranges::replace_if(
      name, [](char c) { return std::isalnum(static_cast<unsigned char>(c)) == 0; }, '_');
  return name;
});

}  // namespace
}  // namespace uhd
