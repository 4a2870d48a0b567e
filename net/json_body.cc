#include "net/json_body.h"

#include <cmath>
#include <set>
#include <vector>

#include "base/error.h"
#include "base/utf8.h"
#include "net/api_error.h"
#include "net/quoted.h"

namespace uhd {
namespace {

namespace json = boost::json;

constexpr size_t kMaxDepth = 32;
constexpr size_t kDepthAround = 8;  // of what holds an object that was a text
constexpr std::string_view kMark = "\xEF\xBB\xBF";

[[noreturn]] void refuse(std::string text) { throw ApiError{400, std::move(text), "", "invalid_json"}; }

// Past the end of the string that begins at `at`.
size_t end_of_string(std::string_view body, size_t at) {
  for (++at; at < body.size(); ++at) {
    at = body.find_first_of("\"\\", at);
    if (at == std::string_view::npos) return body.size();
    if (body[at] == '"') return at + 1;
    ++at;  // skips the escaped character
  }
  return body.size();
}

// Returns true if the text that ends at `at` is the escape of a leading surrogate, which needs another one.
bool follows_surrogate(std::string_view body, size_t at) {
  if (at < 6 || at > body.size()) return false;
  const std::string_view escape = body.substr(at - 6, 4);
  return escape.substr(0, 2) == "\\u" && (escape[2] | 0x20) == 'd' &&
         std::string_view("89abAB").find(escape[3]) != std::string_view::npos;
}

std::string reason(json::error_code failed, std::string_view body, size_t at) {
  using json::error;
  if (failed == error::incomplete) return "it ends too early";
  if (failed == error::too_deep) return message("it is nested more than ", kMaxDepth, " deep");
  if (failed == error::extra_data) return "something follows the object";
  if (failed == error::illegal_leading_surrogate || failed == error::illegal_trailing_surrogate ||
      failed == error::expected_utf16_escape || follows_surrogate(body, at)) {
    return "an escape is half of a surrogate pair (\\ud83d needs \\ude00 after it)";
  }
  if (failed == error::expected_hex_digit) return "an escape \\u needs four hexadecimal digits";
  if (failed == error::exponent_overflow) return "a number is too large";
  const size_t invalid = first_invalid_utf8(body);
  if (invalid < body.size() && invalid <= at + 3) return "this is no valid UTF-8";
  if (at < body.size() && static_cast<uint8_t>(body[at]) < 0x20) {
    return "a control character in a string must be escaped";
  }
  return at < body.size() ? message("unexpected '", quoted(body.substr(at), 12), "'") : "it ends too early";
}

// Counts what a parsed text holds, and looks for numbers that a double cannot hold.
struct Contents {
  explicit Contents(const json::value& value) { add(value); }
  void add(const json::value& value) {
    if (const double* number = value.if_double()) infinite |= !std::isfinite(*number);
    if (const json::array* items = value.if_array()) {
      for (const json::value& item : *items) add(item);
    }
    if (const json::object* object = value.if_object()) {
      members += static_cast<int64_t>(object->size());
      for (const auto& member : *object) add(member.value());
    }
  }
  int64_t members = 0;
  bool infinite = false;
};

// Counts the signs that stand between and around values, and the names of members.
struct Counts {
  explicit Counts(std::string_view text) {
    for (size_t at = 0; at < text.size();) {
      const char c = text[at];
      if (c == '"') {
        at = end_of_string(text, at);
        continue;
      }
      values += c == ',' || c == '[' || c == '{' ? 1 : 0;
      members += c == ':' ? 1 : 0;
      ++at;
    }
  }
  int64_t values = 1;
  int64_t members = 0;
};

// Returns the first name that an object of a valid text has had before, as the text writes it; empty: none is
// written twice in one way.
std::string name_that_stands_twice(std::string_view text) {
  std::vector<std::set<std::string_view>> names;
  for (size_t at = 0; at < text.size();) {
    const char c = text[at];
    if (c != '"') {
      ++at;
      if (c == '{' || c == '[') names.emplace_back();
      if (c == '}' || c == ']') names.pop_back();
      continue;
    }
    const size_t end = end_of_string(text, at);
    const std::string_view name = text.substr(at, end - at);
    at = std::min(text.find_first_not_of(" \t\r\n", end), text.size());
    if (at < text.size() && text[at] == ':' && !names.back().insert(name).second) return std::string(name);
  }
  return "";
}

// A filter in front of this server may read the first of two members with one name, and JSON has no infinity.
void check_contents(const json::value& value, std::string_view body, int64_t members) {
  const Contents contents(value);
  if (contents.infinite) refuse("The body is not valid JSON: a number is too large.");
  if (contents.members == members) return;
  const std::string twice = name_that_stands_twice(body);
  refuse(message("An object of the body has two members of one name",
                 twice.empty() ? ", written in two ways" : ": " + quoted(twice, 64), "."));
}

[[noreturn]] void refuse_at(json::error_code failed, std::string_view body, size_t at) {
  refuse(message("The body is not valid JSON: at byte ", at, ": ", reason(failed, body, at), "."));
}

}  // namespace

int64_t count_json_values(std::string_view text) { return Counts(text).values; }

std::optional<json::object> parse_json_text(std::string_view text) {
  json::parse_options rules;
  rules.max_depth = kMaxDepth - kDepthAround;
  json::error_code failed;
  json::value value = json::parse(text, failed, {}, rules);
  if (failed || !value.is_object() || Contents(value).infinite) return std::nullopt;
  return std::move(value.get_object());
}

json::object parse_json_body(std::string_view body, int max_values) {
  if (body.starts_with("\xFF\xFE") || body.starts_with("\xFE\xFF")) {
    refuse("The body begins with the byte order mark of UTF-16; JSON must be UTF-8.");
  }
  if (body.starts_with(kMark)) body.remove_prefix(kMark.size());
  if (body.find_first_not_of(" \t\r\n") == std::string_view::npos) {
    refuse("The body is empty; it must be a JSON object.");
  }
  const Counts counts(body);
  if (counts.values > max_values) {
    throw ApiError{413,
                   message("The body holds more than ", max_values, " JSON values (net.max_json_values)."),
                   "", "too_many_values"};
  }
  json::parse_options rules;
  rules.max_depth = kMaxDepth;
  json::parser parser({}, rules);
  json::error_code failed;
  const size_t read = parser.write_some(body, failed);
  if (failed) refuse_at(failed, body, read);
  const size_t rest = body.find_first_not_of(" \t\r\n", read);
  if (rest != std::string_view::npos) refuse_at(json::error::extra_data, body, rest);
  json::value value = parser.release();
  if (!value.is_object()) refuse("The body must be a JSON object.");
  check_contents(value, body, counts.members);
  return std::move(value.get_object());
}

}  // namespace uhd
