// Parses the body of a request as a JSON object. Only the .cc files of net/ may include this header.
#pragma once

#include <boost/json.hpp>
#include <string_view>

namespace uhd {

// Throws an ApiError that says what is wrong, and at which byte. A byte order mark before the object is
// skipped. A body of more than `max_values` values is refused before any of them takes memory.
boost::json::object parse_json_body(std::string_view body, int max_values);

}  // namespace uhd
