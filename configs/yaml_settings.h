// Reads a YAML file into a list of settings. yaml-cpp stays in the .cc file.
#pragma once

#include <string>
#include <vector>

#include "configs/settings.h"

namespace uhd {

// Sets the settings that the text names: keys within the sections of the settings' names ("section.key"), or
// at the top if a name has no section. `name` stands for the file in errors. Text that is not YAML, an
// unknown key (the error names the nearest one), a key given twice and a wrong value are Errors with file and
// line.
void read_yaml(const std::string& text, const std::string& name, const std::vector<Setting>& settings);

}  // namespace uhd
