#include "model/text/pre_tokenizer.h"

#include <array>
#include <boost/json.hpp>
#include <memory>

#include "base/error.h"
#include "base/utf8.h"
#include "model/json_file.h"
#include "model/text/regex.h"
#include "model/text/unicode.h"

namespace uhd {
namespace {

constexpr const char* kGpt2Pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

// Printable bytes stand for themselves, the others for the characters from U+0100 on.
struct ByteAlphabet {
  std::array<std::string, 256> characters;
  std::array<int, 0x200> bytes{};
  ByteAlphabet() {
    bytes.fill(-1);
    uint32_t next = 0x100;
    for (uint32_t b = 0; b < 256; ++b) {
      const bool printable = (b >= 0x21 && b <= 0x7e) || (b >= 0xa1 && b <= 0xac) || b >= 0xae;
      const uint32_t c = printable ? b : next++;
      append_utf8(characters[b], c);
      bytes[c] = static_cast<int>(b);
    }
  }
};
const ByteAlphabet& alphabet() {
  static const ByteAlphabet instance;
  return instance;
}

std::string to_byte_level(std::string_view text) {
  std::string out;
  out.reserve(text.size() + text.size() / 4);
  for (const char c : text) out += byte_level_character(static_cast<unsigned char>(c));
  return out;
}

enum class Behavior : uint8_t { removed, isolated, merged_with_previous, merged_with_next, contiguous };

Behavior behavior_of(const boost::json::value& json, std::string_view fallback, const std::string& where) {
  const std::string name = json_string(json, "behavior", fallback, where);
  if (name == "Removed") return Behavior::removed;
  if (name == "Isolated") return Behavior::isolated;
  if (name == "MergedWithPrevious") return Behavior::merged_with_previous;
  if (name == "MergedWithNext") return Behavior::merged_with_next;
  if (name == "Contiguous") return Behavior::contiguous;
  throw Error(where + ": the behavior '" + name + "' is not supported");
}

// A Part is a match, or the text between two matches; parts are in order.
struct Part {
  TextRange range;
  bool match = false;
};

std::vector<Part> parts_of(std::string_view text, const std::vector<TextRange>& matches, bool invert) {
  std::vector<Part> parts;
  size_t done = 0;
  for (const TextRange& match : matches) {
    if (match.begin > done) parts.push_back({{done, match.begin}, invert});
    parts.push_back({match, !invert});
    done = match.end;
  }
  if (done < text.size()) parts.push_back({{done, text.size()}, invert});
  return parts;
}

std::vector<TextRange> apply_behavior(const std::vector<Part>& parts, Behavior behavior) {
  std::vector<TextRange> words;
  bool previous_match = false;
  for (const Part& part : parts) {
    const bool match = part.match;
    if (behavior == Behavior::removed && match) continue;
    const bool join =
        !words.empty() && ((behavior == Behavior::merged_with_previous && match && !previous_match) ||
                           (behavior == Behavior::merged_with_next && !match && previous_match) ||
                           (behavior == Behavior::contiguous && match == previous_match));
    if (join) {
      words.back().end = part.range.end;
    } else {
      words.push_back(part.range);
    }
    previous_match = match;
  }
  return words;
}

template <class Class>
std::vector<TextRange> characters_in(std::string_view text, Class in_class) {
  std::vector<TextRange> found;
  for (size_t at = 0; at < text.size();) {
    const CodePoint c = utf8_at(text, at);
    if (in_class(c.value)) found.push_back({at, at + c.bytes});
    at += c.bytes;
  }
  return found;
}

void emit(std::string_view text, const std::vector<TextRange>& words, std::vector<std::string>& out) {
  for (const TextRange& word : words) out.emplace_back(text.substr(word.begin, word.end - word.begin));
}

}  // namespace

const std::string& byte_level_character(unsigned char byte) { return alphabet().characters[byte]; }

int byte_level_byte(uint32_t code_point) {
  return code_point < alphabet().bytes.size() ? alphabet().bytes[code_point] : -1;
}

PreTokenizer::PreTokenizer(const boost::json::value& json, const std::string& where) { add(json, where, 0); }

void PreTokenizer::add(const boost::json::value& json, const std::string& where, int depth) {
  const std::string type = json_string(json, "type", "", where);
  if (type == "Sequence") {
    require(depth < 8, where, ": a Sequence nested too deeply");
    for (const auto& step : json_array(json, "pretokenizers", where)) add(step, where, depth + 1);
  } else if (type == "ByteLevel") {
    add_byte_level(json, where);
  } else if (type == "Split") {
    add_split(json, where);
  } else if (type == "Metaspace") {
    add_metaspace(json, where);
  } else if (type == "Digits" || type == "Punctuation" || type == "WhitespaceSplit") {
    const bool digits = type == "Digits";
    const bool single = !digits || json_bool(json, "individual_digits", false, where);
    const Behavior behavior = digits                  ? (single ? Behavior::isolated : Behavior::contiguous)
                              : type == "Punctuation" ? behavior_of(json, "Isolated", where)
                                                      : Behavior::removed;
    drops_text_ = drops_text_ || behavior == Behavior::removed;
    const auto in_class = digits ? &is_number : type == "Punctuation" ? &is_punctuation : &is_space;
    steps_.push_back([behavior, in_class](const std::string& word, bool, Words& out) {
      emit(word, apply_behavior(parts_of(word, characters_in(word, in_class), false), behavior), out);
    });
  } else if (type == "Whitespace") {
    drops_text_ = true;
    auto regex =
        std::make_shared<const Regex>(R"([\p{L}\p{M}\p{N}\p{Pc}]+|[^\s\p{L}\p{M}\p{N}\p{Pc}]+)", where);
    steps_.push_back(
        [regex](const std::string& word, bool, Words& out) { emit(word, regex->find_all(word), out); });
  } else {
    throw Error(where + ": the pre-tokenizer '" + type + "' is not supported");
  }
}

void PreTokenizer::add_byte_level(const boost::json::value& json, const std::string& where) {
  const bool add_prefix = json_bool(json, "add_prefix_space", true, where);
  std::shared_ptr<const Regex> regex;
  if (json_bool(json, "use_regex", true, where)) regex = std::make_shared<const Regex>(kGpt2Pattern, where);
  steps_.push_back([add_prefix, regex](const std::string& word, bool, Words& out) {
    const std::string text = add_prefix && !word.starts_with(' ') ? " " + word : word;
    if (regex == nullptr) {
      out.push_back(to_byte_level(text));
      return;
    }
    for (const Part& part : parts_of(text, regex->find_all(text), false)) {
      out.push_back(
          to_byte_level(std::string_view(text).substr(part.range.begin, part.range.end - part.range.begin)));
    }
  });
}

void PreTokenizer::add_split(const boost::json::value& json, const std::string& where) {
  const auto& pattern = json_required(json, "pattern", where);
  const std::string literal = json_string(pattern, "String", "", where);
  auto regex =
      std::make_shared<const Regex>(literal.empty() ? Regex(json_string(pattern, "Regex", "", where), where)
                                                    : Regex::literal(literal, where));
  const Behavior behavior = behavior_of(json, "Isolated", where);
  const bool invert = json_bool(json, "invert", false, where);
  drops_text_ = drops_text_ || behavior == Behavior::removed;
  steps_.push_back([regex, behavior, invert](const std::string& word, bool, Words& out) {
    emit(word, apply_behavior(parts_of(word, regex->find_all(word), invert), behavior), out);
  });
}

void PreTokenizer::add_metaspace(const boost::json::value& json, const std::string& where) {
  const std::string mark = json_string(json, "replacement", "\xe2\x96\x81", where);
  const bool prefix = json_bool(json, "add_prefix_space", true, where);
  const std::string scheme = json_string(json, "prepend_scheme", prefix ? "always" : "never", where);
  const bool split = json_bool(json, "split", true, where);
  steps_.push_back([mark, scheme, split](const std::string& word, bool first, Words& out) {
    std::string text;
    for (const char c : word) c == ' ' ? text += mark : text += c;
    if ((scheme == "always" || (scheme == "first" && first)) && !text.starts_with(mark)) text.insert(0, mark);
    if (!split) {
      out.push_back(text);
      return;
    }
    for (size_t at = 0; at < text.size();) {
      const size_t next = std::min(text.find(mark, at + 1), text.size());
      out.push_back(text.substr(at, next - at));
      at = next;
    }
  });
}

std::vector<std::string> PreTokenizer::split(std::string text, bool first) const {
  Words words{std::move(text)};
  for (const Step& step : steps_) {
    Words next;
    bool leading = first;
    for (const std::string& word : words) {
      if (!word.empty()) step(word, leading, next);
      leading = false;
    }
    words = std::move(next);
  }
  return words;
}

}  // namespace uhd
