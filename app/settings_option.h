// Adds --config, --print-config and --section.key=value to the subcommands that take settings.
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

  // Adds the options to the subcommand; `this` must outlive its parsing.
  void add_to(CLI::App& command);
  // Returns the given settings, after the defaults. Without --config it reads configs/single.yaml if there is
  // one in the working directory. It sets the log level.
  ServerConfig read(const CLI::App& command) const;
};

}  // namespace uhd
