// Compares the vision tower and the compression layers with the reference, stage by stage.
#include <gtest/gtest.h>

#include <cstdio>

#include "model/config_parts.h"
#include "model/vision/clip_encoder.h"
#include "model/vision/pixel_shuffle.h"
#include "model/vision/resampler.h"
#include "model/vision/siglip_encoder.h"
#include "model/vision/tower_memory.h"
#include "tests/model/golden_model.h"

namespace uhd {
namespace {

constexpr Tolerance kTowerF32{2e-4};
constexpr Tolerance kLayerF32{2e-4};
constexpr Tolerance kTowerBf16{0.25, 0.015};
constexpr Tolerance kLayerBf16{0.35, 0.025};

// "in.29x19" -> 29 rows, 19 columns
PatchGrid grid_in(const std::string& name) {
  PatchGrid grid;
  const std::string size = name.substr(name.find('.') + 1);
  EXPECT_EQ(std::sscanf(size.c_str(), "%dx%d", &grid.rows, &grid.columns), 2) << name;
  return grid;
}

// Returns a bare CLIP with every layer running.
ModelConfig tower_config(const std::filesystem::path& folder) {
  const ConfigObject json = ConfigObject::read_required(folder / "config.json");
  ModelConfig model;
  model.directory = folder;
  model.vision = read_vision_config(json.has("vision_config") ? json.object("vision_config") : json, -1);
  model.prefix_vision = "vision_model.";
  return model;
}

// Pixels [3, h, w] to patches [P, 3·p·p].
std::vector<float> patches_of_pixels(const Golden::Values& pixels, int p) {
  const int64_t h = pixels.shape[1], w = pixels.shape[2];
  std::vector<float> patches;
  for (int64_t row = 0; row < h / p; ++row) {
    for (int64_t column = 0; column < w / p; ++column) {
      for (int64_t c = 0; c < 3; ++c) {
        for (int64_t y = 0; y < p; ++y) {
          const float* line = pixels.values.data() + (c * h + row * p + y) * w + column * p;
          patches.insert(patches.end(), line, line + p);
        }
      }
    }
  }
  return patches;
}

// Files of a kind, over all folders.
size_t count_of(const std::string& prefix) {
  size_t count = 0;
  for (const auto& folder : golden_tower_folders()) count += goldens_of(folder, prefix).size();
  for (const auto& folder : golden_model_folders()) count += goldens_of(folder, prefix).size();
  return count;
}

TEST(TowerGoldens, AreFound) {
  EXPECT_GT(count_of("golden_stages") + count_of("golden_posemb") + count_of("golden_resampler") +
                count_of("golden_connector"),
            0u)
      << "no goldens of a tower or a compression layer under models/";
}

TEST(TowerGoldens, StagesOfClip) {
  size_t compared = 0;
  for (const auto& folder : golden_tower_folders()) {
    for (const Golden& golden : goldens_of(folder, "golden_stages")) {
      for (WeightFormat format : {WeightFormat::f32, WeightFormat::bf16}) {
        const ModelConfig model = tower_config(folder);
        const Checkpoint checkpoint(folder);
        const auto backend = test_backend(format);
        ClipEncoder vit(model, checkpoint, *backend, format);
        vit.observe([&](const std::string& stage, Tensor rows) {
          const auto wanted = golden.tensor(stage);
          if (!wanted.found()) return;
          expect_close(host_floats(*backend, rows), wanted.values,
                       format == WeightFormat::f32 ? kTowerF32 : kTowerBf16, golden.name + " " + stage);
          ++compared;
        });
        const auto pixels = golden.tensor("pixel_values");
        ASSERT_TRUE(pixels.found());
        const int p = model.vision->patch;
        const auto values = patches_of_pixels(pixels, p);
        const PatchGrid grid{static_cast<int>(pixels.shape[1]) / p, static_cast<int>(pixels.shape[2]) / p};
        Workspace workspace(*backend, size_t{64} << 20);
        const Tensor out =
            workspace.take(backend->activation_dtype(), {grid.patches(), model.vision->hidden});
        const auto write = [&](Tensor patches) { set_floats(*backend, patches, values); };
        vit.forward(out, write, {&grid, 1}, workspace).finish();
      }
    }
  }
  EXPECT_EQ(compared > 0, count_of("golden_stages") > 0) << "stages that no tower has";
}

TEST(TowerGoldens, InterpolatedPositionsOfClip) {
  size_t compared = 0;
  for (const auto& folder : golden_tower_folders()) {
    for (const Golden& golden : goldens_of(folder, "golden_posemb")) {
      const ModelConfig model = tower_config(folder);
      const Checkpoint checkpoint(folder);
      const auto backend = test_backend(WeightFormat::f32);
      ClipEncoder vit(model, checkpoint, *backend, WeightFormat::f32);
      for (const auto& name : golden.tensor_names("pos.")) {
        const auto wanted = golden.tensor(name);
        const auto found = host_floats(*backend, vit.positions_of(grid_in(name)));
        // Row 0 is the class token's.
        expect_close(found, std::span(wanted.values).subspan(static_cast<size_t>(wanted.shape[1])), kTowerF32,
                     golden.name + " " + name);
        ++compared;
      }
    }
  }
  EXPECT_EQ(compared > 0, count_of("golden_posemb") > 0);
}

TEST(TowerGoldens, BucketPositions) {
  for (const auto& folder : golden_model_folders()) {
    for (const Golden& golden : goldens_of(folder, "golden_resampler")) {
      for (const auto& name : golden.tensor_names("posids.")) {
        const GoldenModel model(folder);
        const auto wanted = golden.tensor(name);
        const auto ids =
            bucket_positions(grid_in(name), model.config.vision->image / model.config.vision->patch);
        expect_close(std::vector<float>(ids.begin(), ids.end()), wanted.values, {0},
                     golden.name + " " + name);
      }
    }
  }
}

TEST(TowerGoldens, CompressionLayers) {
  size_t compared = 0;
  for (const auto& folder : golden_model_folders()) {
    for (const Golden& golden : goldens_of(folder, "golden_resampler")) {
      const GoldenModel model(folder);
      for (WeightFormat format : {WeightFormat::f32, WeightFormat::bf16}) {
        const auto backend = test_backend(format);
        const auto layer = make_resampler(model.config, model.checkpoint, *backend, format);
        for (const auto& name : golden.tensor_names("in.")) {
          const PatchGrid grid = grid_in(name);
          const auto in = golden.tensor(name);
          const auto wanted = golden.tensor("out." + name.substr(3));
          ASSERT_TRUE(wanted.found()) << name;
          Workspace workspace(
              *backend,
              pass_memory(model.config, {grid.patches(), 1}, DType::f32, backend->host_memory()).most +
                  (in.values.size() + wanted.values.size()) * 4 + 1024);
          const Tensor features = workspace.take(backend->activation_dtype(), in.shape);
          const Tensor out = workspace.take(backend->activation_dtype(), wanted.shape);
          set_floats(*backend, features, in.values);
          layer->forward(out, features, {&grid, 1}, workspace);
          expect_close(
              host_floats(*backend, out), wanted.values, format == WeightFormat::f32 ? kLayerF32 : kLayerBf16,
              folder.filename().string() + " " + name + (format == WeightFormat::f32 ? "" : " bf16"));
          ++compared;
        }
      }
    }
  }
  EXPECT_EQ(compared > 0, count_of("golden_resampler") > 0);
}

// SmolVLM: positions of a square of patches, and the connector on a whole tile.
TEST(TowerGoldens, ConnectorsAndTheirPositions) {
  size_t compared = 0;
  for (const auto& folder : golden_model_folders()) {
    for (const Golden& golden : goldens_of(folder, "golden_connector")) {
      const GoldenModel model(folder);
      for (const auto& name : golden.tensor_names("posids.")) {
        const PatchGrid grid = grid_in(name);
        const auto ids = bucket_positions(grid, grid.rows, true);
        expect_close(std::vector<float>(ids.begin(), ids.end()), golden.tensor(name).values, {0}, name);
      }
      const auto in = golden.tensor("shuffle.in"), middle = golden.tensor("shuffle.mid");
      const auto wanted = golden.tensor("shuffle.out");
      const int side = model.config.vision->image / model.config.vision->patch;
      const PatchGrid grid{side, side};
      ASSERT_EQ(in.shape[0], grid.patches());
      std::vector<float> gathered;
      for (const int32_t patch : shuffled_patches({&grid, 1}, model.config.resampler.shuffle)) {
        const float* row = in.values.data() + int64_t{patch} * in.shape[1];
        gathered.insert(gathered.end(), row, row + in.shape[1]);
      }
      expect_close(gathered, middle.values, {0}, "shuffle.mid");
      for (WeightFormat format : {WeightFormat::f32, WeightFormat::bf16}) {
        const auto backend = test_backend(format);
        const auto layer = make_resampler(model.config, model.checkpoint, *backend, format);
        Workspace workspace(*backend, size_t{16} << 20);
        const Tensor features = workspace.take(backend->activation_dtype(), in.shape);
        const Tensor out = workspace.take(backend->activation_dtype(), wanted.shape);
        set_floats(*backend, features, in.values);
        layer->forward(out, features, {&grid, 1}, workspace);
        expect_close(host_floats(*backend, out), wanted.values,
                     format == WeightFormat::f32 ? kLayerF32 : kLayerBf16, golden.name);
        ++compared;
      }
    }
  }
  EXPECT_EQ(compared > 0, count_of("golden_connector") > 0);
}

}  // namespace
}  // namespace uhd
