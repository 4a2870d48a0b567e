#include "net/schema_check.h"

#include <algorithm>
#include <array>

#include "base/error.h"
#include "net/api_error.h"
#include "net/json_fields.h"
#include "net/quoted.h"

namespace uhd {
namespace {

namespace json = boost::json;

constexpr size_t kLongestKey = 40;  // of a path, in bytes

constexpr std::array<std::string_view, 13> kNeverHonoured = {
    "$dynamicRef",  "$recursiveRef",     "additionalItems",  "contains",
    "dependencies", "dependentRequired", "dependentSchemas", "else",
    "if",           "maxContains",       "minContains",      "not",
    "then"};

// They are looked for in this order.
constexpr std::array<std::string_view, 6> kWholes = {"$ref", "const", "enum", "anyOf", "oneOf", "allOf"};

// These say what a value of some type must be.
constexpr std::array<std::string_view, 22> kLimits = {"additionalProperties",
                                                      "exclusiveMaximum",
                                                      "exclusiveMinimum",
                                                      "format",
                                                      "items",
                                                      "maxItems",
                                                      "maxLength",
                                                      "maxProperties",
                                                      "maximum",
                                                      "minItems",
                                                      "minLength",
                                                      "minProperties",
                                                      "minimum",
                                                      "multipleOf",
                                                      "pattern",
                                                      "patternProperties",
                                                      "prefixItems",
                                                      "properties",
                                                      "propertyNames",
                                                      "required",
                                                      "unevaluatedItems",
                                                      "unevaluatedProperties"};

// A schema without a type has the one that these say.
constexpr std::array<std::string_view, 6> kTelling = {"additionalProperties", "items",
                                                      "prefixItems",          "properties",
                                                      "unevaluatedItems",     "unevaluatedProperties"};

[[noreturn]] void refuse_keyword(const std::string& path, std::string_view keyword, std::string_view why) {
  const std::string at = message(path, '.', keyword);
  throw ApiError{400, message('\'', at, "' would not be honoured: ", why), at, "unsupported_schema"};
}

// A type beside a value is common, and says nothing more where it is the value's own.
bool is_of_type(const json::value& v, const json::value& type) {
  if (type.is_string()) return has_json_type(v, type.get_string());
  return type.is_array() && std::any_of(type.get_array().begin(), type.get_array().end(), [&](const auto& t) {
           return t.is_string() && has_json_type(v, t.get_string());
         });
}

bool type_agrees(const json::object& schema, std::string_view whole) {
  const json::value& type = schema.at("type");
  if (whole == "const") return is_of_type(schema.at("const"), type);
  if (whole != "enum" || !schema.at("enum").is_array()) return false;
  const json::array& values = schema.at("enum").get_array();
  return std::all_of(values.begin(), values.end(), [&](const auto& v) { return is_of_type(v, type); });
}

void check_beside(const json::object& schema, std::string_view whole, const std::string& path) {
  const std::string why = message("it stands beside '", whole, "'.");
  for (const std::string_view other : kWholes) {
    if (other != whole && schema.contains(other)) refuse_keyword(path, other, why);
  }
  for (const std::string_view limit : kLimits) {
    if (schema.contains(limit)) refuse_keyword(path, limit, why);
  }
  if (schema.contains("type") && !type_agrees(schema, whole)) refuse_keyword(path, "type", why);
}

void check_one(const json::object& schema, const std::string& path) {
  const auto has = [&](std::string_view name) { return schema.contains(name); };
  for (const std::string_view name : kNeverHonoured) {
    if (has(name)) refuse_keyword(path, name, "this keyword is not implemented.");
  }
  const json::value* unique = schema.if_contains("uniqueItems");
  if (unique != nullptr && *unique != json::value(false)) {
    refuse_keyword(path, "uniqueItems", "this keyword is not implemented.");
  }
  const auto whole = std::ranges::find_if(kWholes, has);
  if (whole != kWholes.end()) return check_beside(schema, *whole, path);
  if (has("type") || std::ranges::any_of(kTelling, has)) return;
  const auto limit = std::ranges::find_if(kLimits, has);
  if (limit != kLimits.end()) refuse_keyword(path, *limit, "the schema has no 'type'.");
}

void check_value(const json::value& v, const std::string& path) {
  if (v.is_object()) check_schema(v.get_object(), path);
}

}  // namespace

void check_schema(const json::object& schema, const std::string& path) {
  check_one(schema, path);
  for (const std::string_view name :
       {"additionalProperties", "items", "propertyNames", "unevaluatedItems", "unevaluatedProperties"}) {
    if (const json::value* v = schema.if_contains(name)) check_value(*v, message(path, '.', name));
  }
  for (const std::string_view name : {"prefixItems", "anyOf", "oneOf", "allOf"}) {
    const json::value* list = schema.if_contains(name);
    if (list == nullptr || !list->is_array()) continue;
    if (name == "allOf" && list->get_array().size() > 1) {
      refuse_keyword(path, name, "more than one schema in it is not implemented.");
    }
    size_t i = 0;
    for (const json::value& v : list->get_array()) check_value(v, message(path, '.', name, '[', i++, ']'));
  }
  for (const std::string_view name : {"properties", "patternProperties", "$defs", "definitions"}) {
    const json::value* map = schema.if_contains(name);
    if (map == nullptr || !map->is_object()) continue;
    for (const auto& [key, v] : map->get_object()) {
      check_value(v, message(path, '.', name, '.', quoted(key, kLongestKey)));
    }
  }
}

}  // namespace uhd
