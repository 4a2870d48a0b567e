// Serves MiniCPM-o 2.6, whose vision and text are those of MiniCPM-V 2.6: the goldens of that model hold
// under the other's names, beside tensors of audio and speech that nobody reads.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <fstream>

#include "model/json_file.h"
#include "model/weights/parameters.h"
#include "tests/model/golden_cases.h"
#include "tests/model/golden_image.h"
#include "tests/support/goldens.h"
#include "tests/support/temporary_directory.h"

namespace uhd {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;

constexpr const char* kLeftAside[] = {"apm.conv1.weight", "apm.layers.0.self_attn.q_proj.weight",
                                      "audio_projection_layer.linear1.weight", "tts.emb_text.weight",
                                      "tts.model.layers.0.mlp.up_proj.weight"};

// Returns the first folder of the family; "" if the goldens have none.
fs::path folder_of(Family family) {
  for (const fs::path& folder : golden_model_folders()) {
    if (read_model_config(folder).family == family) return folder;
  }
  return {};
}

void write_json(const fs::path& path, const json::value& value) {
  fs::remove(path);  // the copy may be read-only
  std::ofstream(path) << json::serialize(value);
}

// Writes a safetensors file of two bf16 zeros for each name.
void write_tensors(const fs::path& path) {
  json::object header;
  size_t at = 0;
  for (const char* name : kLeftAside) {
    header[name] = {{"dtype", "BF16"}, {"shape", json::array{2}}, {"data_offsets", json::array{at, at + 4}}};
    at += 4;
  }
  std::string text = json::serialize(header);
  text.append((8 - text.size() % 8) % 8, ' ');
  const uint64_t length = text.size();
  std::ofstream file(path, std::ios::binary);
  file.write(reinterpret_cast<const char*>(&length), sizeof(length));
  file << text << std::string(at, '\0');
}

// Turns the folder of a MiniCPM-V 2.6 into one of MiniCPM-o 2.6.
void make_omni(const fs::path& from, const fs::path& to) {
  fs::copy(from, to, fs::copy_options::recursive | fs::copy_options::overwrite_existing);
  json::value config = read_json_file(from / "config.json");
  config.as_object()["architectures"] = json::array{"MiniCPMO"};
  config.as_object()["model_type"] = "minicpmo";
  config.as_object()["version"] = "2.6";
  config.as_object()["init_audio"] = true;
  write_json(to / "config.json", config);
  json::value index = read_json_file(from / "model.safetensors.index.json");
  for (const char* name : kLeftAside) index.at("weight_map").as_object()[name] = "audio.safetensors";
  write_json(to / "model.safetensors.index.json", index);
  write_tensors(to / "audio.safetensors");
}

TEST(OmniGoldens, MiniCpmO26AnswersAsMiniCpmV26) {
  const fs::path from = folder_of(Family::minicpmv_26);
  ASSERT_TRUE(!from.empty() || !bundled_goldens());
  if (from.empty()) return;
  const TemporaryDirectory folder;
  make_omni(from, folder.path());
  const GoldenModel model(folder.path());
  EXPECT_EQ(model.config.family, Family::minicpmo_26);
  EXPECT_NE(model.checkpoint.find(kLeftAside[0]), nullptr);
  EXPECT_THAT(problems_of(model.config, model.checkpoint, nullptr), testing::IsEmpty());
  EXPECT_THAT(unused_tensors(model.config, model.checkpoint, nullptr), testing::IsEmpty());
  size_t pictures = 0;
  for (const Golden& golden : goldens_of(from, "golden_image_")) {
    SCOPED_TRACE(golden.name);
    const auto backend = test_backend(WeightFormat::f32);
    VisionEncoder encoder(model.config, model.checkpoint, model.tower(), *backend, WeightFormat::f32);
    const auto pieces = cut_golden_images(model, golden);
    const VisualTokens tokens = encoder.encode(views_of(pieces));
    const auto prompt = golden_prompt(model, golden, host_floats(*backend, tokens.rows));
    const auto wanted = golden.ids("greedy_ids");
    for (const int ranks : {1, 2, 4}) {
      const auto run = run_language_model(
          model, prompt, {.ranks = ranks, .steps = static_cast<int>(wanted.size()), .chunk = 190});
      EXPECT_EQ(run.ids, wanted) << ranks << " ranks";
      expect_first_logits({from, golden}, model, run, kLogitsF32);
    }
    ++pictures;
  }
  EXPECT_GT(pictures, 0u);
}

// Both forms of 4.5 hold the same weights, and neither has a tensor that nobody knows.
TEST(OmniGoldens, AudioAndSpeechAreNoUnknownTensors) {
  const fs::path folder = folder_of(Family::minicpmo_45);
  ASSERT_TRUE(!folder.empty() || !bundled_goldens());
  if (folder.empty()) return;
  const GoldenModel model(folder);
  size_t skipped = 0;
  for (const auto& [name, tensor] : model.checkpoint.tensors()) {
    skipped += name.starts_with("apm.") || name.starts_with("audio") || name.starts_with("tts.") ? 1 : 0;
  }
  EXPECT_GT(skipped, 0u);
  EXPECT_THAT(unused_tensors(model.config, model.checkpoint, nullptr), testing::IsEmpty());
}

}  // namespace
}  // namespace uhd
