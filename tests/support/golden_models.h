// Finds the models of the goldens, and makes MiniCPM-o 2.6, which has no files of its own there.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "model/config.h"

namespace uhd {

// These return every folder of models/ that holds a language model, and the others (a bare CLIP). Among the
// former is MiniCPM-o 2.6: the tensors of MiniCPM-V 2.6 under its names, beside some of audio and speech.
std::vector<std::filesystem::path> golden_model_folders();
std::vector<std::filesystem::path> golden_tower_folders();

// Returns the folder whose golden files of this prefix hold for the model: its own, or, if that has none, one
// of the same weights in another layout (equal names up to the last "-"). The path is empty if there is none.
std::filesystem::path folder_of_goldens(const std::filesystem::path& model, std::string_view prefix);

// Returns the layout of the same weights that has the vision tower inside, if this one names another tower:
// the goldens hold for the tower inside.
std::optional<ModelConfig> layout_with_its_tower(const ModelConfig& model);

}  // namespace uhd
