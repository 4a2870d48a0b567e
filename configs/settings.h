// Holds the one list of every setting: its name, its place in memory, its values, and its purpose. Reading,
// printing and help all walk this list.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "configs/config.h"

namespace uhd {

struct Setting {
  using Place = std::variant<bool*, int*, int64_t*, uint64_t*, double*, std::string*, std::filesystem::path*>;

  std::string name;  // "section.key"
  Place place;
  std::string help;
  double min = 0;  // the smallest number, inclusive
  double max = 0;
  std::vector<std::string> choices;  // the allowed texts; empty: any

  std::string wanted() const;               // returns, for example, "a whole number from 0 to 65535"
  std::string text() const;                 // returns the present value
  std::vector<std::string> values() const;  // returns all values, where they are few words
  bool is_text() const;
  // Sets the value. Returns false, and changes nothing, when the text is not a value of this setting. Sizes
  // (names that end in _bytes) may end in KiB, MiB or GiB.
  bool set(const std::string& value) const;
};

// Returns "section" for "section.key"; a name outside sections is its own section.
std::string section_of(const std::string& name);

// Returns null if no setting has this name.
const Setting* find_setting(const std::string& name, const std::vector<Setting>& settings);

// Returns settings that point into `config`.
std::vector<Setting> settings_of(ServerConfig& config);

// Returns the known name with the smallest edit distance.
std::string nearest_name(std::string_view name, const std::vector<Setting>& settings);

}  // namespace uhd
