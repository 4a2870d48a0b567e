#include "model/json_file.h"

#include <boost/json.hpp>

#include "base/error.h"
#include "base/mapped_file.h"

namespace uhd {

boost::json::value parse_json(std::string_view text, const std::string& what) {
  boost::json::parse_options options;
  options.max_depth = 32;
  boost::json::error_code error;
  boost::json::parser parser({}, options);
  const size_t read = parser.write(text.data(), text.size(), error);
  require(!error, what, " is not valid JSON at byte ", read, ": ", error.message());
  return parser.release();
}

boost::json::value read_json_file(const std::filesystem::path& path, size_t max_bytes) {
  return parse_json(read_text_file(path, max_bytes), path.string());
}

const boost::json::value* json_member(const boost::json::value& value, std::string_view key) {
  const boost::json::object* object = value.if_object();
  const boost::json::value* member = object != nullptr ? object->if_contains(key) : nullptr;
  return member != nullptr && !member->is_null() ? member : nullptr;
}

const boost::json::value& json_required(const boost::json::value& value, std::string_view key,
                                        const std::string& what) {
  const boost::json::value* member = json_member(value, key);
  if (member == nullptr) throw Error(message(what, " has no ", key));
  return *member;
}

const boost::json::array& json_array(const boost::json::value& value, std::string_view key,
                                     const std::string& what) {
  const boost::json::array* array = json_required(value, key, what).if_array();
  if (array == nullptr) throw Error(message(what, ": ", key, " must be an array"));
  return *array;
}

std::string json_string(const boost::json::value& value, std::string_view key, std::string_view fallback,
                        const std::string& what) {
  const boost::json::value* member = json_member(value, key);
  if (member == nullptr) return std::string(fallback);
  require(member->is_string(), what, ": ", key, " must be a string");
  return std::string(member->get_string());
}

bool json_bool(const boost::json::value& value, std::string_view key, bool fallback,
               const std::string& what) {
  const boost::json::value* member = json_member(value, key);
  if (member == nullptr) return fallback;
  require(member->is_bool(), what, ": ", key, " must be true or false");
  return member->get_bool();
}

int64_t json_int(const boost::json::value& value, std::string_view key, int64_t fallback,
                 const std::string& what) {
  const boost::json::value* member = json_member(value, key);
  if (member == nullptr) return fallback;
  boost::json::error_code error;
  const auto number = member->to_number<int64_t>(error);
  require(!error, what, ": ", key, " must be a whole number");
  return number;
}

}  // namespace uhd
