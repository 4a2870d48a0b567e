#include "configs/config.h"

#include <unistd.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <cctype>
#include <sstream>

#include "base/ascii.h"
#include "base/error.h"
#include "base/mapped_file.h"
#include "configs/settings.h"
#include "configs/yaml_settings.h"

namespace uhd {
namespace {

// "net.max_images" is UHD_NET_MAX_IMAGES.
std::string variable_of(const std::string& setting) {
  std::string name = "UHD_" + setting;
  for (char& c : name) c = c == '.' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return name;
}

// Returns true if the variable can only be meant for a setting.
bool names_a_section(const std::string& variable, const std::vector<Setting>& settings) {
  for (const Setting& setting : settings) {
    if (variable.starts_with(variable_of(section_of(setting.name)) + "_")) return true;
  }
  return false;
}

void apply_variables(const std::vector<Setting>& settings, const std::vector<std::string>& variables) {
  for (const std::string& variable : variables) {
    const size_t equals = variable.find('=');
    const std::string name = variable.substr(0, equals);
    if (equals == std::string::npos || !names_a_section(name, settings)) continue;
    const auto named = [&](const Setting& setting) { return variable_of(setting.name) == name; };
    const auto setting = std::find_if(settings.begin(), settings.end(), named);
    if (setting == settings.end()) {
      throw Error(message("the environment's ", name, " names no setting; did you mean ",
                          variable_of(nearest_name(lower_ascii(name.substr(4)), settings)), "?"));
    }
    const std::string value = variable.substr(equals + 1);
    require(setting->set(value), "the environment's ", name, " must be ", setting->wanted(), ", not \"",
            value, "\"");
  }
}

void apply_values(const std::vector<Setting>& settings, const SettingValues& given) {
  for (const auto& [name, value] : given) {
    const Setting* setting = find_setting(name, settings);
    if (setting == nullptr) {
      throw Error(
          message("--", name, ": unknown setting; did you mean --", nearest_name(name, settings), "?"));
    }
    require(setting->set(value), "--", name, " must be ", setting->wanted(), ", not \"", value, "\"");
  }
}

boost::json::value value_of(const Setting& setting) {
  if (setting.is_text()) return boost::json::value(setting.text());
  return std::visit(
      [](const auto* place) -> boost::json::value {
        if constexpr (std::is_arithmetic_v<std::remove_cvref_t<decltype(*place)>>) return *place;
        return nullptr;
      },
      setting.place);
}

}  // namespace

ServerConfig parse_config(const std::string& yaml, const std::string& name, const SettingValues& given,
                          const std::vector<std::string>& variables) {
  ServerConfig config;
  const std::vector<Setting> settings = settings_of(config);
  read_yaml(yaml, name, settings);
  apply_variables(settings, variables);
  apply_values(settings, given);
  // The same limits hold where a body is parsed and where an image is decoded.
  config.net.max_images = config.engine.image.max_images;
  config.net.max_image_bytes = config.engine.image.limits.max_bytes;
  return config;
}

ServerConfig load_config(const std::optional<std::filesystem::path>& file, const SettingValues& given) {
  constexpr size_t kMostBytes = 1 << 20;
  std::vector<std::string> variables;
  for (char** variable = environ; variable != nullptr && *variable != nullptr; ++variable) {
    if (std::string_view(*variable).starts_with("UHD_")) variables.emplace_back(*variable);
  }
  if (!file) return parse_config("", "", given, variables);
  require(std::filesystem::exists(*file), "there is no config file ", file->string());
  require(std::filesystem::is_regular_file(*file), "the config ", file->string(), " is not a file");
  const bool empty = std::filesystem::file_size(*file) == 0;
  return parse_config(empty ? "" : read_text_file(*file, kMostBytes), file->string(), given, variables);
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

std::string config_json(const ServerConfig& config) {
  namespace json = boost::json;
  ServerConfig copy = config;
  json::object object;
  for (const Setting& setting : settings_of(copy)) {
    const std::string section = section_of(setting.name);
    if (!object.contains(section)) object[section].emplace_object();
    object[section].get_object()[setting.name.substr(section.size() + 1)] = value_of(setting);
  }
  return json::serialize(object);
}

}  // namespace uhd
