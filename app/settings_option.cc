#include "app/settings_option.h"

#include <CLI/CLI.hpp>

#include "base/log.h"

namespace uhd {
namespace {

LogLevel level_of(const std::string& name) {
  if (name == "debug") return LogLevel::debug;
  if (name == "warning") return LogLevel::warning;
  return name == "error" ? LogLevel::error : LogLevel::info;
}

}  // namespace

void SettingsOption::add_to(CLI::App& command) {
  command.add_option("--config", file, "YAML file with settings (configs/single.yaml if there is one here)");
  command.add_flag("--print-config", print, "Print the resulting settings, and stop");
  command.allow_extras();
}

ServerConfig SettingsOption::read(const CLI::App& command) const {
  const std::filesystem::path fallback = "configs/single.yaml";
  std::optional<std::filesystem::path> chosen;
  if (!file.empty()) {
    chosen = file;
  } else if (std::filesystem::exists(fallback)) {
    chosen = fallback;
  }
  ServerConfig config = load_config(chosen, command.remaining());
  init_log(level_of(config.log.level), "uhd");
  return config;
}

}  // namespace uhd
