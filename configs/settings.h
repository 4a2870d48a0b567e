// The one list of every setting: its name, where it is kept, what values it takes, and what it is for.
// Reading, printing and help all walk this list.
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
  double min = 0;  // of numbers, inclusive
  double max = 0;
  std::vector<std::string> choices;  // of text; empty: any

  std::string wanted() const;  // "a whole number from 0 to 65535"
  std::string text() const;    // the present value
  bool is_text() const;
  // False, changing nothing, when the text is not a value of this setting. Sizes (names that end in _bytes)
  // may end in KiB, MiB or GiB.
  bool set(const std::string& value) const;
};

// "section", of "section.key"; a name outside sections is its own.
std::string section_of(const std::string& name);

// Null where no setting has this name.
const Setting* find_setting(const std::string& name, const std::vector<Setting>& settings);

// Points into `config`.
std::vector<Setting> settings_of(ServerConfig& config);

// The known name with the smallest edit distance.
std::string nearest_name(std::string_view name, const std::vector<Setting>& settings);

}  // namespace uhd
