// The body of a request as a JSON object, or what is wrong with it. For the .cc files of net/ only.
#pragma once

#include <boost/json.hpp>
#include <string_view>

namespace uhd {

// Thrown as ApiError: what is wrong, and at which byte. A byte order mark before the object is skipped. More
// than `max_values` values are refused before any of them takes memory.
boost::json::object parse_json_body(std::string_view body, int max_values);

}  // namespace uhd
