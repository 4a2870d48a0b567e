#include "model/text/normalizer.h"

#include <boost/json.hpp>
#include <memory>

#include "base/error.h"
#include "base/utf8.h"
#include "model/json_file.h"
#include "model/text/regex.h"
#include "model/text/unicode.h"

namespace uhd {
namespace {

// A character of four bytes may become one of one byte (mathematical letters), and three characters one that
// has a third of their bytes (Hangul): no form shrinks a text more.
constexpr size_t kFormShrink = 4;

std::string replace_matches(const std::string& text, const std::vector<TextRange>& matches,
                            const std::string& by) {
  std::string out;
  size_t done = 0;
  for (const TextRange& match : matches) {
    out.append(text, done, match.begin - done);
    out += by;
    done = match.end;
  }
  out.append(text, done, std::string::npos);
  return out;
}

std::string strip(const std::string& text, bool left, bool right) {
  size_t begin = 0;
  size_t end = 0;  // after the last character that is no space
  bool leading = left;
  for (size_t at = 0; at < text.size();) {
    const CodePoint c = utf8_at(text, at);
    at += c.bytes;
    if (!is_space(c.value)) {
      leading = false;
      end = at;
    } else if (leading) {
      begin = at;
    }
  }
  if (!right) end = text.size();
  return begin < end ? text.substr(begin, end - begin) : "";
}

}  // namespace

Normalizer::Normalizer(const boost::json::value& json, const std::string& where) { add(json, where, 0); }

void Normalizer::add(const boost::json::value& json, const std::string& where, int depth) {
  const std::string type = json_string(json, "type", "", where);
  if (type == "Sequence") {
    require(depth < 8, where, ": a Sequence nested too deeply");
    for (const auto& step : json_array(json, "normalizers", where)) add(step, where, depth + 1);
  } else if (type == "NFC" || type == "NFD" || type == "NFKC" || type == "NFKD") {
    const NormalForm form = type == "NFC"    ? NormalForm::nfc
                            : type == "NFD"  ? NormalForm::nfd
                            : type == "NFKC" ? NormalForm::nfkc
                                             : NormalForm::nfkd;
    steps_.push_back([form](const std::string& text) { return normal_form(text, form); });
    max_shrink_ *= kFormShrink;
  } else if (type == "Prepend") {
    steps_.push_back([prefix = json_string(json, "prepend", "", where)](const std::string& text) {
      return text.empty() ? text : prefix + text;
    });
  } else if (type == "Replace") {
    const auto& pattern = json_required(json, "pattern", where);
    const std::string literal = json_string(pattern, "String", "", where);
    const size_t by = json_string(json, "content", "", where).size();
    max_shrink_ *= literal.empty() || by == 0 ? 0 : (literal.size() + by - 1) / by;
    auto regex =
        std::make_shared<const Regex>(literal.empty() ? Regex(json_string(pattern, "Regex", "", where), where)
                                                      : Regex::literal(literal, where));
    steps_.push_back([regex, content = json_string(json, "content", "", where)](const std::string& text) {
      return replace_matches(text, regex->find_all(text), content);
    });
  } else if (type == "Lowercase") {
    steps_.push_back([](const std::string& text) { return lowercase(text); });
    max_shrink_ *= kFormShrink;
  } else if (type == "StripAccents") {
    steps_.push_back([](const std::string& text) { return strip_accents(text); });
    max_shrink_ = 0;
  } else if (type == "Strip") {
    const bool left = json_bool(json, "strip_left", true, where);
    const bool right = json_bool(json, "strip_right", true, where);
    steps_.push_back([left, right](const std::string& text) { return strip(text, left, right); });
    max_shrink_ = 0;
  } else {
    throw Error(where + ": the normalizer '" + type + "' is not supported");
  }
}

std::string Normalizer::apply(std::string_view text) const {
  std::string result(text);
  for (const Step& step : steps_) result = step(std::move(result));
  return result;
}

}  // namespace uhd
