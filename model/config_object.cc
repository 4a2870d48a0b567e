#include "model/config_object.h"

#include <boost/json/serialize.hpp>
#include <cmath>

#include "base/error.h"
#include "base/log.h"
#include "base/mapped_file.h"
#include "model/json_file.h"

namespace uhd {
namespace json = boost::json;
namespace {

std::string shortened(const json::value& value) {
  std::string text = json::serialize(value);
  if (text.size() > 60) text = text.substr(0, 57) + "...";
  return text;
}

// Reads a whole number, also if it is written as 4096.0.
std::optional<int64_t> whole(const json::value& value) {
  if (value.is_int64()) return value.get_int64();
  if (value.is_double() && std::abs(value.get_double()) < 1e15 &&
      value.get_double() == std::floor(value.get_double())) {
    return static_cast<int64_t>(value.get_double());
  }
  return std::nullopt;
}

std::optional<double> real(const json::value& value) {
  if (value.is_int64()) return static_cast<double>(value.get_int64());
  if (value.is_uint64()) return static_cast<double>(value.get_uint64());
  if (value.is_double()) return value.get_double();
  return std::nullopt;
}

}  // namespace

ConfigObject ConfigObject::read(const std::filesystem::path& file) {
  if (!is_there(file)) return ConfigObject(file.string());
  return read_required(file);
}

ConfigObject ConfigObject::read_required(const std::filesystem::path& file) {
  const json::value parsed = read_json_file(file);
  require(parsed.is_object(), file.string(), " does not hold a JSON object");
  return {file.string(), parsed.get_object()};
}

const json::value* ConfigObject::find(const char* key) const {
  const json::value* value = values_.if_contains(key);
  return value == nullptr || value->is_null() ? nullptr : value;
}

bool ConfigObject::has(const char* key) const { return find(key) != nullptr; }

int ConfigObject::integer(const char* key, int64_t low, int64_t high) const {
  require(has(key), at(key), " is missing");
  return integer(key, low, high, low);
}

int ConfigObject::integer(const char* key, int64_t low, int64_t high, int64_t fallback) const {
  const json::value* value = find(key);
  if (value == nullptr) return static_cast<int>(fallback);
  const auto number = whole(*value);
  require(number && *number >= low && *number <= high, at(key), " is ", shortened(*value),
          ", not a whole number between ", low, " and ", high);
  return static_cast<int>(*number);
}

double ConfigObject::number(const char* key, double low, double high, double fallback) const {
  const json::value* value = find(key);
  if (value == nullptr) return fallback;
  const auto number = real(*value);
  require(number && *number >= low && *number <= high, at(key), " is ", shortened(*value),
          ", not a number between ", low, " and ", high);
  return *number;
}

bool ConfigObject::flag(const char* key, bool fallback) const {
  const json::value* value = find(key);
  if (value == nullptr) return fallback;
  require(value->is_bool(), at(key), " is ", shortened(*value), ", not true or false");
  return value->get_bool();
}

std::string ConfigObject::text(const char* key, const std::string& fallback) const {
  const json::value* value = find(key);
  if (value == nullptr) return fallback;
  require(value->is_string(), at(key), " is ", shortened(*value), ", not a text");
  return std::string(value->get_string());
}

std::string ConfigObject::version(const char* key, const std::string& fallback) const {
  const json::value* value = find(key);
  if (value == nullptr) return fallback;
  const auto number = real(*value);
  require(number || value->is_string(), at(key), " is ", shortened(*value), ", not a version");
  std::string text = number ? message(*number) : std::string(value->get_string());
  if (text.find('.') == std::string::npos) text += ".0";
  return text;
}

std::vector<int32_t> ConfigObject::ids(const char* key, int64_t limit) const {
  const json::value* value = find(key);
  std::vector<int32_t> result;
  if (value == nullptr) return result;
  const json::array one{*value};
  for (const json::value& item : value->is_array() ? value->get_array() : one) {
    const auto id = whole(item);
    if (id && *id >= 0 && *id < limit) {
      result.push_back(static_cast<int32_t>(*id));
    } else {
      log_warning("an entry that is no token id is left out", "key", at(key), "value", shortened(item), "ids",
                  limit);
    }
  }
  return result;
}

std::vector<double> ConfigObject::numbers(const char* key, size_t count, double low, double high) const {
  const json::value* value = find(key);
  std::vector<double> result;
  if (value == nullptr) return result;
  require(value->is_array() && value->get_array().size() == count, at(key), " is ", shortened(*value),
          ", not a list of ", count, " numbers");
  for (const json::value& item : value->get_array()) {
    const auto number = real(item);
    require(number && *number >= low && *number <= high, at(key), " holds ", shortened(item),
            ", not a number between ", low, " and ", high);
    result.push_back(*number);
  }
  return result;
}

ConfigObject ConfigObject::object(const char* key) const {
  const json::value* value = find(key);
  if (value == nullptr) return ConfigObject(at(key));
  require(value->is_object(), at(key), " is ", shortened(*value), ", not an object");
  return {at(key), value->get_object()};
}

std::string ConfigObject::first_text(const char* key) const {
  const json::value* value = find(key);
  if (value == nullptr) return "";
  if (value->is_array() && !value->get_array().empty()) value = &value->get_array().front();
  require(value->is_string(), at(key), " is ", shortened(*value), ", not a list of texts");
  return std::string(value->get_string());
}

}  // namespace uhd
