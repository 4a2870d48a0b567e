#include "tests/support/goldens.h"

#include <algorithm>
#include <boost/json/parse.hpp>
#include <cstdlib>
#include <fstream>
#include <string>

#include "base/error.h"

namespace uhd {

namespace {

const char* other_goldens() {
  const char* directory = std::getenv("UHD_GOLDENS");
  return directory != nullptr && *directory != '\0' ? directory : nullptr;
}

}  // namespace

std::filesystem::path goldens_directory() {
  if (const char* directory = other_goldens()) return directory;
  return std::filesystem::path(UHD_SOURCE_DIR) / "tests" / "goldens";
}

bool bundled_goldens() { return other_goldens() == nullptr; }

std::vector<std::filesystem::path> find_goldens(const std::filesystem::path& folder, std::string_view prefix,
                                                std::string_view suffix) {
  std::vector<std::filesystem::path> found;
  const auto directory = goldens_directory() / folder;
  if (!std::filesystem::is_directory(directory)) return found;
  for (const auto& entry : std::filesystem::directory_iterator(directory)) {
    const std::string name = entry.path().filename().string();
    if (entry.is_regular_file() && name.starts_with(prefix) && name.ends_with(suffix)) {
      found.push_back(entry.path());
    }
  }
  std::sort(found.begin(), found.end());
  return found;
}

std::vector<boost::json::value> read_json_lines(const std::filesystem::path& path) {
  std::ifstream file(path);
  require(file.good(), path.string(), ": cannot be read");
  std::vector<boost::json::value> values;
  std::string line;
  for (int number = 1; std::getline(file, line); ++number) {
    if (line.empty()) continue;
    boost::system::error_code error;
    values.push_back(boost::json::parse(line, error));
    require(!error, path.string(), ":", number, ": ", error.message());
  }
  return values;
}

}  // namespace uhd
