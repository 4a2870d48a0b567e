// Tests the type in which the vision tower runs: by model.vision_dtype, by the checkpoint, else as the
// language model.
#include <gtest/gtest.h>

#include <random>

#include "engine/launch/slice_encoder.h"
#include "tests/engine/engine_fixture.h"

namespace uhd {
namespace {

const std::filesystem::path kNano = std::filesystem::path(UHD_SOURCE_DIR) / "models/nano-uhd";

struct Tower {
  std::string identity;
  std::vector<float> rows;  // of one slice of noise
};

Tower tower(const std::filesystem::path& model, const std::string& dtype, const std::string& vision_dtype) {
  EngineOptions options = tiny_options(model);
  options.dtype = dtype;
  options.vision_dtype = vision_dtype;
  const ModelFiles files = open_model(options);
  const std::unique_ptr<Backend> backend = make_rank_backend(files, options);
  Slice slice{.width = 8 * files.config.vision->patch, .height = 5 * files.config.vision->patch};
  std::mt19937 random(3);
  for (int i = 0; i < 3 * slice.width * slice.height; ++i)
    slice.pixels.push_back(static_cast<uint8_t>(random() % 256));
  const SliceEncoder encoder = make_slice_encoder(files, options, *backend);
  const int64_t count = encoder.rows_of(slice);
  Tower out{files.identity, std::vector<float>(static_cast<size_t>(count * files.config.language.hidden))};
  const Slice* batch[] = {&slice};
  encoder.encode(batch, Tensor::of(out.rows.data(), {count, files.config.language.hidden}));
  return out;
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

}  // namespace
}  // namespace uhd
