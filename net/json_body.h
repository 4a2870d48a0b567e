// Parses the body of a request as a JSON object. Only the .cc files of net/ may include this header.
#pragma once

#include <boost/json.hpp>
#include <optional>
#include <string_view>

namespace uhd {

// Throws an ApiError that says what is wrong, and at which byte. A byte order mark before the object is
// skipped. Names that stand twice in an object are refused. A body of more than `max_values` values is
// refused before any of them takes memory.
boost::json::object parse_json_body(std::string_view body, int max_values);

// Returns at least the number of values in a JSON text.
int64_t count_json_values(std::string_view text);

// Parses an object that stands as a text within a body. It may be less deep than a body, so that it can stand
// in its place there as a value. Returns nothing if the text holds none.
std::optional<boost::json::object> parse_json_text(std::string_view text);

}  // namespace uhd
