// JSON files of a checkpoint: parsed with limits on size and depth, errors naming the file and the key.
#pragma once

#include <boost/json/value.hpp>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace uhd {

// `what` stands in the error: a file name, or a file and the part of it. Duplicate keys keep the last value.
boost::json::value parse_json(std::string_view text, const std::string& what);
boost::json::value read_json_file(const std::filesystem::path& path, size_t max_bytes = size_t{64} << 20);

// The member, or null when the key is absent, holds JSON null, or `value` is not an object.
const boost::json::value* json_member(const boost::json::value& value, std::string_view key);
// The member, or an Error that it is missing; the same of an array.
const boost::json::value& json_required(const boost::json::value& value, std::string_view key,
                                        const std::string& what);
const boost::json::array& json_array(const boost::json::value& value, std::string_view key,
                                     const std::string& what);
// Member of the asked type, or the fallback when it is absent or null; another type is an Error naming key
// and file.
std::string json_string(const boost::json::value& value, std::string_view key, std::string_view fallback,
                        const std::string& what);
bool json_bool(const boost::json::value& value, std::string_view key, bool fallback, const std::string& what);
int64_t json_int(const boost::json::value& value, std::string_view key, int64_t fallback,
                 const std::string& what);

}  // namespace uhd
