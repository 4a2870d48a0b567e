// Makes options of a subcommand of all settings, and adds --config and --print-config.
#pragma once

#include <optional>
#include <string>

#include "configs/config.h"

namespace CLI {
class App;
}

namespace uhd {

struct SettingsOption {
  std::string file;  // --config
  bool print = false;

  // Adds the options to the subcommand, in a group for each section; `this` must outlive its parsing.
  void add_to(CLI::App& command);
  // Returns the settings of the file, the environment and the options, after the defaults. It sets the log
  // level. A wrong one is a UsageError.
  ServerConfig read(const CLI::App& command) const;
};

}  // namespace uhd
