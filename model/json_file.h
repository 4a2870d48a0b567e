// Parses JSON files of a checkpoint, with limits on size and depth, and errors that name the file and the
// key.
#pragma once

#include <boost/json/value.hpp>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace uhd {

// Parses a text. `what` stands in the error: a file name, or a file and the part of it. Duplicate keys keep
// the last value.
boost::json::value parse_json(std::string_view text, const std::string& what);
boost::json::value read_json_file(const std::filesystem::path& path, size_t max_bytes = size_t{64} << 20);

// Returns the member, or null when the key is absent, holds JSON null, or `value` is not an object.
const boost::json::value* json_member(const boost::json::value& value, std::string_view key);
// These return the member, or throw an Error that it is missing; the second also requires an array.
const boost::json::value& json_required(const boost::json::value& value, std::string_view key,
                                        const std::string& what);
const boost::json::array& json_array(const boost::json::value& value, std::string_view key,
                                     const std::string& what);
// These return the member of the asked type, or the fallback when it is absent or null. Another type is an
// Error that names key and file.
std::string json_string(const boost::json::value& value, std::string_view key, std::string_view fallback,
                        const std::string& what);
bool json_bool(const boost::json::value& value, std::string_view key, bool fallback, const std::string& what);
int64_t json_int(const boost::json::value& value, std::string_view key, int64_t fallback,
                 const std::string& what);

}  // namespace uhd
