// Reads the fields of a JSON object, with their types and ranges checked. Only the .cc files of net/ may
// include this header: it includes Boost.JSON. A field that is absent or null is empty. A wrong field throws
// an ApiError that names it, which is caught where the parse began (openai_request.cc).
#pragma once

#include <boost/json.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "net/api_error.h"

namespace uhd {

// Says whether the value has this type, by the names of JSON Schema: "integer", "null", ...
bool has_json_type(const boost::json::value& v, std::string_view type);

struct NumberRange {
  double min;
  double max;
  bool above_min = false;  // min itself is excluded
};

class Fields {
 public:
  // `path` names the object in errors: "" or "messages[0].".
  Fields(const boost::json::object& object, std::string path) : object_(object), path_(std::move(path)) {}

  const boost::json::object& object() const { return object_; }
  std::string path(std::string_view name) const { return path_ + std::string(name); }
  const boost::json::value* find(std::string_view name) const;  // returns null when absent or JSON null
  std::optional<bool> boolean(std::string_view name) const;
  std::optional<double> number(std::string_view name, NumberRange range) const;
  std::optional<int64_t> integer(std::string_view name, int64_t min, int64_t max) const;
  std::optional<std::string_view> string(std::string_view name) const;
  const boost::json::object* object(std::string_view name) const;
  const boost::json::array* array(std::string_view name) const;

 private:
  const boost::json::object& object_;
  std::string path_;
};

[[noreturn]] void throw_bad_field(const std::string& path, std::string_view wanted,
                                  const boost::json::value& found);
[[noreturn]] void throw_unsupported(const std::string& path, std::string_view text);

// Returns, for example, "messages[3]".
std::string element(const std::string& path, size_t i);

// Fields uses these checks; elements of arrays use them directly.
int64_t to_integer(const boost::json::value& v, const std::string& path, int64_t min, int64_t max);
double to_number(const boost::json::value& v, const std::string& path, NumberRange range);
std::string_view to_text(const boost::json::value& v, const std::string& path);

}  // namespace uhd
