#include "net/json_fields.h"

#include <cmath>

#include "base/error.h"

namespace uhd {

namespace json = boost::json;

namespace {

std::string describe(const json::value& v) {
  switch (v.kind()) {
    case json::kind::null:
      return "null";
    case json::kind::bool_:
      return v.get_bool() ? "true" : "false";
    case json::kind::string:
      return "a string";
    case json::kind::array:
      return "an array";
    case json::kind::object:
      return "an object";
    default:
      return json::serialize(v);
  }
}

// Returns nothing when the value is not a whole number that fits; 5.0 is one, 5.5 is not.
std::optional<int64_t> whole(const json::value& v) {
  if (v.is_int64()) return v.get_int64();
  if (v.is_double()) {
    const double d = v.get_double();
    if (std::isfinite(d) && d == std::trunc(d) && std::abs(d) < 0x1p63) return static_cast<int64_t>(d);
  }
  return std::nullopt;
}

}  // namespace

bool has_json_type(const json::value& v, std::string_view type) {
  switch (v.kind()) {
    case json::kind::null:
      return type == "null";
    case json::kind::bool_:
      return type == "boolean";
    case json::kind::string:
      return type == "string";
    case json::kind::array:
      return type == "array";
    case json::kind::object:
      return type == "object";
    case json::kind::double_:
      return type == "number";
    default:
      return type == "number" || type == "integer";
  }
}

void throw_bad_field(const std::string& path, std::string_view wanted, const json::value& found) {
  throw ApiError{400, message("'", path, "' must be ", wanted, ", not ", describe(found), "."), path,
                 "invalid_value"};
}

void throw_unsupported(const std::string& path, std::string_view text) {
  throw ApiError{400, message("'", path, "': ", text), path, "unsupported_parameter"};
}

std::string element(const std::string& path, size_t i) { return message(path, '[', i, ']'); }

int64_t to_integer(const json::value& v, const std::string& path, int64_t min, int64_t max) {
  const std::optional<int64_t> n = whole(v);
  if (!n || *n < min || *n > max) {
    throw_bad_field(path, message("a whole number from ", min, " to ", max), v);
  }
  return *n;
}

double to_number(const json::value& v, const std::string& path, NumberRange range) {
  const double d = v.is_double()   ? v.get_double()
                   : v.is_int64()  ? static_cast<double>(v.get_int64())
                   : v.is_uint64() ? static_cast<double>(v.get_uint64())
                                   : NAN;
  const bool inside =
      std::isfinite(d) && d <= range.max && (range.above_min ? d > range.min : d >= range.min);
  if (!inside) {
    throw_bad_field(path,
                    message("a number ", range.above_min ? "above " : "from ", range.min,
                            range.above_min ? " and at most " : " to ", range.max),
                    v);
  }
  return d;
}

std::string_view to_text(const json::value& v, const std::string& path) {
  if (!v.is_string()) throw_bad_field(path, "a string", v);
  return {v.get_string().data(), v.get_string().size()};
}

const json::value* Fields::find(std::string_view name) const {
  const json::value* v = object_.if_contains(name);
  return v == nullptr || v->is_null() ? nullptr : v;
}

std::optional<bool> Fields::boolean(std::string_view name) const {
  const json::value* v = find(name);
  if (v == nullptr) return std::nullopt;
  if (!v->is_bool()) throw_bad_field(path(name), "true or false", *v);
  return v->get_bool();
}

std::optional<double> Fields::number(std::string_view name, NumberRange range) const {
  const json::value* v = find(name);
  if (v == nullptr) return std::nullopt;
  return to_number(*v, path(name), range);
}

std::optional<int64_t> Fields::integer(std::string_view name, int64_t min, int64_t max) const {
  const json::value* v = find(name);
  if (v == nullptr) return std::nullopt;
  return to_integer(*v, path(name), min, max);
}

std::optional<std::string_view> Fields::string(std::string_view name) const {
  const json::value* v = find(name);
  if (v == nullptr) return std::nullopt;
  return to_text(*v, path(name));
}

const json::object* Fields::object(std::string_view name) const {
  const json::value* v = find(name);
  if (v == nullptr) return nullptr;
  if (!v->is_object()) throw_bad_field(path(name), "an object", *v);
  return &v->get_object();
}

const json::array* Fields::array(std::string_view name) const {
  const json::value* v = find(name);
  if (v == nullptr) return nullptr;
  if (!v->is_array()) throw_bad_field(path(name), "an array", *v);
  return &v->get_array();
}

}  // namespace uhd
