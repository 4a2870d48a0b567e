// ServerConfig holds all settings of the program: one options struct of each folder, read from a YAML file
// and the command line. yaml-cpp stays in the .cc file.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cluster/options.h"
#include "engine/options.h"
#include "net/options.h"

namespace uhd {

struct LogOptions {
  std::string level = "info";   // debug, info, warning or error
  std::string format = "text";  // text or json
};

struct ServerConfig {
  EngineOptions engine;
  ClusterOptions cluster;
  NetOptions net;
  LogOptions log;
};

// Names of settings ("net.port") and what they are set to.
using SettingValues = std::vector<std::pair<std::string, std::string>>;

// Reads the defaults, then the file, then the variables of the environment (UHD_SECTION_KEY), then the
// values that the command line gives. An unknown key or a wrong value is an Error with the file and line (or
// the variable or option), the wanted values, and the nearest known key.
ServerConfig load_config(const std::optional<std::filesystem::path>& file, const SettingValues& given);

// Does the same from text; `name` stands for the file in errors, and variables are "NAME=value". Those that
// do not begin with UHD_ and a section are other people's.
ServerConfig parse_config(const std::string& yaml, const std::string& name, const SettingValues& given,
                          const std::vector<std::string>& variables = {});

// Return what reads back as the same settings: YAML for people, or one line of JSON, which is YAML too.
std::string print_config(const ServerConfig& config);
std::string config_json(const ServerConfig& config);

}  // namespace uhd
