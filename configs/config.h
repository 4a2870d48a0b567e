// ServerConfig holds all settings of the program: one options struct of each folder, read from a YAML file
// and the command line. yaml-cpp stays in the .cc file.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "cluster/options.h"
#include "engine/options.h"
#include "net/options.h"

namespace uhd {

struct LogOptions {
  std::string level = "info";  // debug, info, warning or error
};

struct ServerConfig {
  EngineOptions engine;
  ClusterOptions cluster;
  NetOptions net;
  LogOptions log;
};

// Reads the defaults, then the file, then the arguments ("--section.key=value", or "--section.key" and
// "value"). An unknown key or a wrong value is an Error with the file and line (or the argument), the wanted
// values, and the nearest known key.
ServerConfig load_config(const std::optional<std::filesystem::path>& file,
                         const std::vector<std::string>& arguments);

// Does the same from text; `name` stands for the file in errors.
ServerConfig parse_config(const std::string& yaml, const std::string& name,
                          const std::vector<std::string>& arguments);

// Returns YAML that reads back as the same settings.
std::string print_config(const ServerConfig& config);

// Returns, for --help, a table of every setting: name, type and range, default, help.
std::string describe_settings();

}  // namespace uhd
