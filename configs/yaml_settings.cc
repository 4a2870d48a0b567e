#include "configs/yaml_settings.h"

#include <yaml-cpp/yaml.h>

#include <set>

#include "base/error.h"

namespace uhd {
namespace {

// Knows where it is, for errors.
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
    require(root.IsMap(), where(root),
            has_sections() ? "sections with settings belong here, for example net: {port: 8080}"
                           : "lines of 'key: value' belong here");
    std::set<std::string> seen;
    for (const auto& entry : root) {
      const std::string section = key_text(entry.first);
      require_new(seen, section, entry.first);
      if (const Setting* setting = find_setting(section, settings_)) {  // one outside sections
        set(*setting, entry.second);
        continue;
      }
      require_section(section, entry.first);
      if (entry.second.IsNull()) continue;  // a section whose settings are all commented out
      require(entry.second.IsMap(), where(entry.second), section, " is a section; it must hold settings");
      read_section(section, entry.second);
    }
  }

 private:
  bool has_sections() const { return settings_.front().name.find('.') != std::string::npos; }

  void read_section(const std::string& section, const YAML::Node& node) const {
    std::set<std::string> seen;
    for (const auto& entry : node) {
      const std::string name = section + "." + key_text(entry.first);
      require_new(seen, name, entry.first);
      const Setting* setting = find_setting(name, settings_);
      if (setting == nullptr) {  // the nearest name takes long to find
        throw Error(message(where(entry.first), "unknown key ", name, "; did you mean ",
                            nearest_name(name, settings_), "?"));
      }
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
    if (find_setting(section, sections) != nullptr) return;
    const char* kind = has_sections() ? "section " : "key ";
    throw Error(message(where(at), "unknown ", kind, section, "; did you mean ",
                        nearest_name(section, sections), "?"));
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

}  // namespace

void read_yaml(const std::string& text, const std::string& name, const std::vector<Setting>& settings) {
  YamlReader(settings, name).read(text);
}

}  // namespace uhd
