#include "configs/config.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <iomanip>
#include <set>
#include <sstream>

#include "base/error.h"
#include "base/mapped_file.h"
#include "configs/settings.h"

namespace uhd {
namespace {

const Setting* find(const std::vector<Setting>& settings, const std::string& name) {
  const auto at =
      std::find_if(settings.begin(), settings.end(), [&](const Setting& s) { return s.name == name; });
  return at == settings.end() ? nullptr : &*at;
}

std::string section_of(const std::string& name) { return name.substr(0, name.find('.')); }

// One file's way into the settings; knows where it is for errors.
class YamlReader {
 public:
  YamlReader(const std::vector<Setting>& settings, const std::string& file)
      : settings_(settings), file_(file) {}

  void read(const std::string& text) const {
    YAML::Node root;
    try {
      root = YAML::Load(text);
    } catch (const YAML::ParserException& e) {
      throw Error(message(file_, ":", e.mark.line + 1, ": this is not YAML: ", e.msg));
    }
    if (root.IsNull()) return;
    require(root.IsMap(), where(root), "sections with settings are wanted, for example net: {port: 8080}");
    std::set<std::string> seen;
    for (const auto& entry : root) {
      const std::string section = key_text(entry.first);
      require_new(seen, section, entry.first);
      require_section(section, entry.first);
      if (entry.second.IsNull()) continue;  // a section whose settings are all commented out
      require(entry.second.IsMap(), where(entry.second), section, " is a section; settings are wanted in it");
      read_section(section, entry.second);
    }
  }

 private:
  void read_section(const std::string& section, const YAML::Node& node) const {
    std::set<std::string> seen;
    for (const auto& entry : node) {
      const std::string name = section + "." + key_text(entry.first);
      require_new(seen, name, entry.first);
      const Setting* setting = find(settings_, name);
      require(setting != nullptr, where(entry.first), "unknown key ", name, "; did you mean ",
              nearest_name(name, settings_), "?");
      set(*setting, entry.second);
    }
  }

  void set(const Setting& setting, const YAML::Node& value) const {
    const bool quoted = value.IsScalar() && value.Tag() == "!";
    const bool good = value.IsScalar() && (setting.is_text() || !quoted) && setting.set(value.Scalar());
    require(good, where(value), setting.name, " must be ", setting.wanted(), ", not ", describe(value));
  }

  void require_section(const std::string& section, const YAML::Node& at) const {
    std::vector<Setting> sections = settings_;
    for (Setting& s : sections) s.name = section_of(s.name);
    require(find(sections, section) != nullptr, where(at), "unknown section ", section, "; did you mean ",
            nearest_name(section, sections), "?");
  }

  void require_new(std::set<std::string>& seen, const std::string& name, const YAML::Node& at) const {
    require(seen.insert(name).second, where(at), name, " is given twice");
  }

  std::string key_text(const YAML::Node& key) const {
    require(key.IsScalar(), where(key), "a key must be a plain word");
    return key.Scalar();
  }

  static std::string describe(const YAML::Node& value) {
    if (value.IsMap()) return "a section";
    if (value.IsSequence()) return "a list";
    if (value.IsNull()) return "nothing";
    return "\"" + value.Scalar() + "\"";
  }

  std::string where(const YAML::Node& node) const { return message(file_, ":", node.Mark().line + 1, ": "); }

  const std::vector<Setting>& settings_;
  const std::string& file_;
};

void apply_arguments(const std::vector<Setting>& settings, const std::vector<std::string>& arguments) {
  for (size_t i = 0; i < arguments.size(); ++i) {
    const std::string& argument = arguments[i];
    require(argument.starts_with("--"), "unexpected argument '", argument,
            "'; settings are given as --section.key=value");
    const size_t equals = argument.find('=');
    const std::string name = argument.substr(2, equals == std::string::npos ? equals : equals - 2);
    const Setting* setting = find(settings, name);
    require(setting != nullptr, "--", name, ": unknown setting; did you mean --",
            nearest_name(name, settings), "?");
    require(equals != std::string::npos || i + 1 < arguments.size(), "--", name, ": a value is wanted, ",
            setting->wanted());
    const std::string value = equals == std::string::npos ? arguments[++i] : argument.substr(equals + 1);
    require(setting->set(value), "--", name, " must be ", setting->wanted(), ", not \"", value, "\"");
  }
}

}  // namespace

ServerConfig parse_config(const std::string& yaml, const std::string& name,
                          const std::vector<std::string>& arguments) {
  ServerConfig config;
  const std::vector<Setting> settings = settings_of(config);
  YamlReader(settings, name).read(yaml);
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
