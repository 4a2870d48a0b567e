#include "configs/config.h"

#include <yaml-cpp/yaml.h>

#include <iomanip>
#include <sstream>

#include "base/error.h"
#include "base/mapped_file.h"
#include "configs/settings.h"
#include "configs/yaml_settings.h"

namespace uhd {
namespace {

void apply_arguments(const std::vector<Setting>& settings, const std::vector<std::string>& arguments) {
  for (size_t i = 0; i < arguments.size(); ++i) {
    const std::string& argument = arguments[i];
    require(argument.starts_with("--"), "unexpected argument '", argument,
            "'; settings are given as --section.key=value");
    const size_t equals = argument.find('=');
    const std::string name = argument.substr(2, equals == std::string::npos ? equals : equals - 2);
    const Setting* setting = find_setting(name, settings);
    require(setting != nullptr, "--", name, ": unknown setting; did you mean --",
            nearest_name(name, settings), "?");
    require(equals != std::string::npos || i + 1 < arguments.size(), "--", name,
            ": a value is missing; it must be ", setting->wanted());
    const std::string value = equals == std::string::npos ? arguments[++i] : argument.substr(equals + 1);
    require(setting->set(value), "--", name, " must be ", setting->wanted(), ", not \"", value, "\"");
  }
}

}  // namespace

ServerConfig parse_config(const std::string& yaml, const std::string& name,
                          const std::vector<std::string>& arguments) {
  ServerConfig config;
  const std::vector<Setting> settings = settings_of(config);
  read_yaml(yaml, name, settings);
  apply_arguments(settings, arguments);
  // The same limits hold where a body is parsed and where an image is decoded.
  config.net.max_images = config.engine.image.max_images;
  config.net.max_image_bytes = config.engine.image.limits.max_bytes;
  return config;
}

ServerConfig load_config(const std::optional<std::filesystem::path>& file,
                         const std::vector<std::string>& arguments) {
  constexpr size_t kMostBytes = 1 << 20;
  if (!file) return parse_config("", "", arguments);
  require(std::filesystem::exists(*file), "there is no config file ", file->string());
  require(std::filesystem::is_regular_file(*file), "the config ", file->string(), " is not a file");
  const bool empty = std::filesystem::file_size(*file) == 0;
  return parse_config(empty ? "" : read_text_file(*file, kMostBytes), file->string(), arguments);
}

std::string print_config(const ServerConfig& config) {
  ServerConfig copy = config;
  std::ostringstream out;
  std::string section;
  for (const Setting& setting : settings_of(copy)) {
    if (section_of(setting.name) != section) {
      section = section_of(setting.name);
      out << section << ":\n";
    }
    out << "  " << setting.name.substr(section.size() + 1) << ": ";
    if (setting.is_text()) {
      YAML::Emitter quoted;
      quoted << YAML::DoubleQuoted << setting.text();
      out << quoted.c_str() << '\n';
    } else {
      out << setting.text() << '\n';
    }
  }
  return out.str();
}

std::string describe_settings() {
  ServerConfig defaults;
  std::ostringstream out;
  for (const Setting& setting : settings_of(defaults)) {
    const std::string value = setting.text();
    out << "  --" << std::left << std::setw(30) << setting.name << setting.help << ": " << setting.wanted()
        << (value.empty() ? "" : " (" + value + ")") << '\n';
  }
  return out.str();
}

}  // namespace uhd
