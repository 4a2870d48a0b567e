#include "net/field_check.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "base/error.h"
#include "net/json_body.h"
#include "net/json_fields.h"
#include "net/quoted.h"

namespace uhd {
namespace {

namespace json = boost::json;

constexpr int kMostWarnings = 8;
constexpr size_t kLongestName = 64;

// As in JSON Schema, 5.0 and 1e30 are integers too.
bool has_known_type(const RequestField& field, const json::value& v) {
  const auto types = types_of(field);
  return std::any_of(types.begin(), types.end(), [&](std::string_view type) {
    const bool whole = v.is_double() && std::trunc(v.get_double()) == v.get_double();
    return has_json_type(v, type) || (type == "integer" && whole);
  });
}

// The neutral values of a field, parsed once.
const json::array& neutral_values(const RequestField& field) {
  static const auto* all = [] {
    auto* made = new std::map<const RequestField*, json::array>();
    for (const RequestField& f : request_fields()) {
      if (!f.neutral.empty()) (*made)[&f] = json::parse(f.neutral).as_array();
    }
    return made;
  }();
  static const json::array none;
  const auto at = all->find(&field);
  return at == all->end() ? none : at->second;
}

bool is_neutral(const RequestField& field, const json::value& v) {
  return std::any_of(neutral_values(field).begin(), neutral_values(field).end(), [&](const json::value& n) {
    return n == v || (n.is_number() && v.is_number() && n.to_number<double>() == v.to_number<double>());
  });
}

std::string ascii(std::string text) {
  std::replace_if(
      text.begin(), text.end(), [](char c) { return c < 0x20 || c > 0x7e; }, '?');
  return text;
}

}  // namespace

void FieldCheck::check(FieldObject kind, const json::object& object, std::string_view path) {
  for (const auto& [key, value] : object) {
    const std::string_view name(key.data(), key.size());
    if (value.is_null()) continue;
    const RequestField* field = find_request_field(kind, name);
    if (field == nullptr) {
      unknown(path, name, message("a field of ", name_of(kind)),
              may_measure(name) ? nearest_request_field(kind, name) : "");
      continue;
    }
    if (field->use == FieldUse::honoured) continue;
    const std::string where = std::string(path) + std::string(name);
    if (field->use == FieldUse::refused) {
      if (is_neutral(*field, value)) continue;
      throw_unsupported(where, std::string(field->text) + ".");
    }
    if (!has_known_type(*field, value)) throw_bad_field(where, "of the type " + types_text(*field), value);
  }
}

bool FieldCheck::may_measure(std::string_view name) const {
  return name.size() <= kLongestName && unknown_ < kMostWarnings;
}

void FieldCheck::unknown(std::string_view path, std::string_view name, std::string_view wanted,
                         std::string_view nearest) {
  const std::string where = std::string(path) + quoted(name, kLongestName);
  const std::string hint = nearest.empty() ? "." : message("; did you mean '", nearest, "'?");
  if (refuses_unknown_) {
    throw ApiError{400, message("'", where, "' is not ", wanted, hint), where, "unknown_parameter"};
  }
  if (++unknown_ > kMostWarnings) return;
  if (!warning_.empty()) warning_ += ' ';
  warning_ += unknown_ == kMostWarnings ? "..." : ascii(message("'", where, "' is ignored", hint));
}

json::object FieldCheck::object_in_text(std::string_view text, const std::string& path) {
  values_left_ -= count_json_values(text);
  if (values_left_ < 0) {
    throw ApiError{413, message('\'', path, "' holds too many JSON values (net.max_json_values)."), path,
                   "too_many_values"};
  }
  std::optional<json::object> object = parse_json_text(text);
  if (object) return *std::move(object);
  throw ApiError{400, message('\'', path, "' must be a text that holds a JSON object, not nested too deep."),
                 path, "invalid_value"};
}

}  // namespace uhd
