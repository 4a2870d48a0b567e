// Makes options of a subcommand of all settings, adds --config and --print-config, and runs the subcommand
// with what they say.
#pragma once

#include <functional>
#include <string>

#include "configs/config.h"

namespace CLI {
class App;
}

namespace uhd {

// It must outlive the parsing of its subcommand.
class SettingsOption {
 public:
  // Adds --model, which is model.path in short.
  void add_model_to(CLI::App& command, const std::string& help);
  // Adds an option for each setting, in a group for each section. The subcommand has the flag --json before:
  // it asks for the printed settings as JSON, too.
  void add_to(CLI::App& command);
  // Calls `work` with the settings of the file, the environment and the options, after the defaults; or
  // prints them, if that is what was asked. It sets the log's level and format. A wrong setting is a
  // UsageError.
  void run(const CLI::App& command, const std::function<void(const ServerConfig&)>& work) const;

 private:
  ServerConfig read(const CLI::App& command) const;

  std::string model_, file_;
  bool print_ = false;
};

}  // namespace uhd
