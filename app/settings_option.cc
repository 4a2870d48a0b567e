#include "app/settings_option.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <optional>

#include "app/usage_error.h"
#include "base/log.h"
#include "configs/settings.h"

namespace uhd {
namespace {

LogLevel level_of(const std::string& name) {
  if (name == "debug") return LogLevel::debug;
  if (name == "warning") return LogLevel::warning;
  return name == "error" ? LogLevel::error : LogLevel::info;
}

// The parser asks this for every value of the option.
std::string complaint_about(const std::string& name, const std::string& value) {
  ServerConfig scratch;
  const std::vector<Setting> settings = settings_of(scratch);
  const Setting& setting = *find_setting(name, settings);
  if (setting.set(value)) return {};
  return message("must be ", setting.wanted(), ", not \"", value, "\"");
}

void add_option(CLI::App& command, const Setting& setting) {
  const std::string value = setting.text();
  const std::string help = setting.help + ": " + setting.wanted() + (value.empty() ? "" : " (" + value + ")");
  command.add_option("--" + setting.name, help)
      ->type_name("")
      ->group("Settings of " + section_of(setting.name))
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeLast)
      ->check([name = setting.name](const std::string& text) { return complaint_about(name, text); });
}

SettingValues given_in(const CLI::App& command) {
  SettingValues values;
  ServerConfig scratch;
  for (const Setting& setting : settings_of(scratch)) {
    const CLI::Option* option = command.get_option("--" + setting.name);
    if (option->count() > 0) values.emplace_back(setting.name, option->results().back());
  }
  return values;
}

}  // namespace

void SettingsOption::add_model_to(CLI::App& command, const std::string& help) {
  command.add_option("-m,--model", model_, help);
}

void SettingsOption::add_to(CLI::App& command) {
  command.add_option("--config", file_, "YAML file with settings");
  command.add_flag("--print-config", print_,
                   "Print the resulting settings, with --json as one JSON object, and stop");
  ServerConfig defaults;
  for (const Setting& setting : settings_of(defaults)) add_option(command, setting);
}

void SettingsOption::run(const CLI::App& command,
                         const std::function<void(const ServerConfig&)>& work) const {
  const ServerConfig config = read(command);
  init_log(level_of(config.log.level), "uhd");
  set_log_format(config.log.format == "json" ? LogFormat::json : LogFormat::text);
  if (!print_) return work(config);
  const bool as_json = command.get_option("--json")->count() > 0;
  std::fputs((as_json ? config_json(config) + '\n' : print_config(config)).c_str(), stdout);
}

ServerConfig SettingsOption::read(const CLI::App& command) const {
  std::optional<std::filesystem::path> chosen;
  if (!file_.empty()) chosen = file_;
  ServerConfig config;
  try {
    config = load_config(chosen, given_in(command));
  } catch (const Error& error) {
    throw UsageError(error.what());
  }
  if (!model_.empty()) config.engine.model_path = model_;
  return config;
}

}  // namespace uhd
