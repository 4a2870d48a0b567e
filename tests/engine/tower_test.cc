// Tests the type in which the vision tower runs: by model.vision_dtype, by the checkpoint, else as the
// language model.
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "engine/launch/slice_encoder.h"
#include "engine/slices/row_sizes.h"
#include "tests/engine/engine_fixture.h"

namespace uhd {
namespace {

const std::filesystem::path kNano = std::filesystem::path(UHD_SOURCE_DIR) / "models/nano-uhd";

struct Tower {
  std::string identity;
  std::vector<float> rows;  // of one slice of noise
};

Tower tower(const std::filesystem::path& model, const std::string& dtype, const std::string& vision_dtype,
            const std::string& quantize = "none", const std::string& isa = "auto") {
  EngineOptions options = tiny_options(model);
  options.dtype = dtype;
  options.vision_dtype = vision_dtype;
  options.vision_quantize = quantize;
  options.backend.isa = isa;
  const ModelFiles files = open_model(options);
  const std::unique_ptr<Backend> backend = make_rank_backend(files, options);
  Slice slice{.width = 8 * files.config.vision->patch, .height = 5 * files.config.vision->patch};
  std::mt19937 random(3);
  for (int i = 0; i < 3 * slice.width * slice.height; ++i)
    slice.pixels.push_back(static_cast<uint8_t>(random() % 256));
  MemoryBook memory(*backend);
  const SliceEncoder encoder = make_slice_encoder(files, options, *backend, memory);
  const int64_t count = encoder.rows_of(slice);
  Tower out{files.identity, std::vector<float>(static_cast<size_t>(count * files.config.language.hidden))};
  const Slice* batch[] = {&slice};
  encoder.encode(batch, Tensor::of(out.rows.data(), {count, files.config.language.hidden})).finish();
  return out;
}

// A pass takes the more memory the more patches it has, and on the host more of them gain nothing.
TEST(EncoderLimits, AreThoseOfTheKindOfMemoryOrOfTheOptions) {
  EngineOptions options;
  EXPECT_EQ(batch_patches(options, true), 1024);
  EXPECT_EQ(batch_patches(options, false), 4096);
  EXPECT_EQ(encoder_limits(options, true).max_patches, options.image.limits.max_piece_patches);
  options.encoders.batch_patches = 9000;
  EXPECT_EQ(batch_patches(options, true), 9000);
  EXPECT_EQ(encoder_limits(options, true).max_patches, 9000);
}

// The bundled weights are bf16, so the same numbers stand in both formats.
TEST(TowerFormat, RowsAreThoseOfF32BesideALanguageModelInBf16) {
  const Tower whole = tower(kNano, "f32", "auto"), beside = tower(kNano, "bf16", "f32"),
              half = tower(kNano, "bf16", "bf16");
  EXPECT_EQ(beside.rows, whole.rows);
  EXPECT_NE(half.rows, whole.rows);
  EXPECT_NE(half.identity, beside.identity) << "an encoder rank of the other kind would be let in";
}

TEST(TowerFormat, IsWhatTheCheckpointAsksFor) {
  EXPECT_EQ(tower(kNano, "auto", "auto").rows, tower(kNano, "bf16", "f32").rows);
  const std::filesystem::path silent = golden_case("uhd-v1-tiny/golden_text").model;
  EXPECT_EQ(tower(silent, "bf16", "auto").rows, tower(silent, "bf16", "bf16").rows);
}

// The root mean square of the differences, by that of the rows.
double difference(const Tower& a, const Tower& b) {
  EXPECT_EQ(a.rows.size(), b.rows.size());
  double error = 0, size = 0;
  for (size_t i = 0; i < a.rows.size(); ++i) {
    error += (a.rows[i] - b.rows[i]) * (a.rows[i] - b.rows[i]);
    size += b.rows[i] * b.rows[i];
  }
  return std::sqrt(error / size);
}

TEST(TowerFormat, LayersAreCodesWhereAskedTo) {
  for (const std::filesystem::path& model : {kNano, golden_case("uhd-v1-tiny/golden_text").model}) {
    const Tower half = tower(model, "bf16", "bf16"), coded = tower(model, "bf16", "bf16", "int8");
    EXPECT_NE(coded.identity, half.identity) << "an encoder rank of the other kind would be let in";
    EXPECT_GT(difference(coded, half), 0.0);
    EXPECT_LT(difference(coded, half), 0.1);
  }
}

// A whole tower by the loops of table amx, whose sums have another order.
TEST(TowerFormat, TilesGiveTheRowsOfOtherInstructions) {
  // A sum that differs by its rounding may round to another code.
  for (const auto& [quantize, most] : {std::pair{"none", 0.02}, {"int8", 0.04}}) {
    const Tower vectors = tower(kNano, "bf16", "bf16", quantize, "scalar"),
                tiles = tower(kNano, "bf16", "bf16", quantize, "amx_twin");
    EXPECT_GT(difference(tiles, vectors), 0.0) << "both are of one table";
    EXPECT_LT(difference(tiles, vectors), most) << quantize;
  }
}

}  // namespace
}  // namespace uhd
