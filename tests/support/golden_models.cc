#include "tests/support/golden_models.h"

#include <algorithm>
#include <boost/json.hpp>
#include <fstream>

#include "model/json_file.h"
#include "tests/support/goldens.h"
#include "tests/support/temporary_directory.h"

namespace uhd {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;

constexpr const char* kLeftAside[] = {"apm.conv1.weight", "apm.layers.0.self_attn.q_proj.weight",
                                      "audio_projection_layer.linear1.weight", "tts.emb_text.weight",
                                      "tts.model.layers.0.mlp.up_proj.weight"};

// Writes a safetensors file of two bf16 zeros for each name.
void write_left_aside(const fs::path& path) {
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

constexpr const char* kConfig = "config.json";
constexpr const char* kIndex = "model.safetensors.index.json";

void write_omni_26(const fs::path& from, const fs::path& to) {
  fs::create_directory(to);
  for (const auto& entry : fs::directory_iterator(from)) {
    const std::string name = entry.path().filename().string();
    if (name != kConfig && name != kIndex && !name.starts_with("golden_")) {
      fs::create_symlink(entry.path(), to / name);
    }
  }
  json::value config = read_json_file(from / kConfig), index = read_json_file(from / kIndex);
  config.as_object()["architectures"] = json::array{"MiniCPMO"};
  config.as_object()["model_type"] = "minicpmo";
  config.as_object()["version"] = "2.6";
  config.as_object()["init_audio"] = true;
  for (const char* name : kLeftAside) index.at("weight_map").as_object()[name] = "audio.safetensors";
  std::ofstream(to / kConfig) << json::serialize(config);
  std::ofstream(to / kIndex) << json::serialize(index);
  write_left_aside(to / "audio.safetensors");
}

std::vector<fs::path> folders_of(bool language) {
  std::vector<fs::path> folders;
  const fs::path models = fs::absolute(goldens_directory() / "models");
  if (!fs::is_directory(models)) return folders;
  for (const auto& entry : fs::directory_iterator(models)) {
    if (!fs::exists(entry.path() / kConfig)) continue;
    const auto config = read_json_file(entry.path() / kConfig);
    const std::string type = json_string(config, "model_type", "", kConfig);
    const bool tower = type.starts_with("clip") || type.starts_with("siglip");
    if (tower != language) folders.push_back(entry.path());
  }
  std::sort(folders.begin(), folders.end());
  return folders;
}

std::string stem_of(const fs::path& folder) {
  const std::string name = folder.filename().string();
  return name.substr(0, name.find_last_of('-'));
}

bool hold_same_weights(const fs::path& one, const fs::path& other) { return stem_of(one) == stem_of(other); }

}  // namespace

std::vector<fs::path> golden_model_folders() {
  static const TemporaryDirectory made;  // until the program ends
  static const std::vector<fs::path> all = [] {
    std::vector<fs::path> folders = folders_of(true);
    const auto plain = std::ranges::find_if(folders, [](const fs::path& folder) {
      return fs::exists(folder / kIndex) && read_model_config(folder).family == Family::minicpmv_26;
    });
    if (plain == folders.end()) return folders;
    const fs::path omni = made.path() / (stem_of(*plain) + "-omni");
    write_omni_26(*plain, omni);
    folders.push_back(omni);
    return folders;
  }();
  return all;
}

std::vector<fs::path> golden_tower_folders() { return folders_of(false); }

fs::path folder_of_goldens(const fs::path& model, std::string_view prefix) {
  if (!find_goldens(model, prefix, "").empty()) return model;
  for (const fs::path& other : golden_model_folders()) {
    if (hold_same_weights(other, model) && !find_goldens(other, prefix, "").empty()) return other;
  }
  return {};
}

std::optional<ModelConfig> layout_with_its_tower(const ModelConfig& model) {
  if (!model.vision || model.vision_directory == model.directory) return {};
  for (const fs::path& other : golden_model_folders()) {
    if (!hold_same_weights(other, model.directory)) continue;
    ModelConfig config = read_model_config(other);
    if (config.vision && config.vision_directory == config.directory) return config;
  }
  return {};
}

}  // namespace uhd
