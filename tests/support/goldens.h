// Finds the reference data and its tables: every file of a documented format is found, whatever its name says
// beyond the format.
#pragma once

#include <boost/json/value.hpp>
#include <filesystem>
#include <string_view>
#include <vector>

namespace uhd {

// Returns the directory in the environment variable UHD_GOLDENS, else tests/goldens of the source tree.
std::filesystem::path goldens_directory();
// Returns true if it is the latter, of which tests may ask more than its format promises.
bool bundled_goldens();

// Returns the files of the folder (absolute, or relative to the goldens) whose name begins and ends so,
// sorted. The list is empty if there are none: the caller fails then.
std::vector<std::filesystem::path> find_goldens(const std::filesystem::path& folder, std::string_view prefix,
                                                std::string_view suffix);

// Reads JSON Lines, one value a line. Throws an Error that names the file and line.
std::vector<boost::json::value> read_json_lines(const std::filesystem::path& path);

}  // namespace uhd
