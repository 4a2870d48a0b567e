#include "model/text/token_decoder.h"

#include <boost/json.hpp>
#include <charconv>

#include "base/error.h"
#include "model/json_file.h"
#include "model/text/pre_tokenizer.h"
#include "model/text/replace_all.h"

namespace uhd {
namespace {

// Returns the byte of "<0xE2>", or -1.
int fallback_byte(std::string_view token) {
  if (token.size() != 6 || !token.starts_with("<0x") || token[5] != '>') return -1;
  int byte = -1;
  const auto [end, fault] = std::from_chars(token.data() + 3, token.data() + 5, byte, 16);
  return fault == std::errc() && end == token.data() + 5 ? byte : -1;
}

// A token of byte-level characters as bytes; one with any other character stands for itself.
std::string from_byte_level(std::string_view token) {
  std::string bytes;
  for (size_t at = 0; at < token.size();) {
    const CodePoint c = utf8_at(token, at);
    const int byte = byte_level_byte(c.value);
    if (byte < 0) return std::string(token);
    bytes.push_back(static_cast<char>(byte));
    at += c.bytes;
  }
  return bytes;
}

void add_rule(const boost::json::value& json, DecoderRules& rules, bool& fused, const std::string& where,
              int depth) {
  const std::string type = json_string(json, "type", "", where);
  if (type == "Sequence") {
    require(depth < 8, where, ": a Sequence nested too deeply");
    for (const auto& step : json_array(json, "decoders", where))
      add_rule(step, rules, fused, where, depth + 1);
  } else if (type == "ByteLevel") {
    rules.byte_level = true;
  } else if (type == "ByteFallback") {
    rules.byte_fallback = true;
  } else if (type == "Fuse") {
    fused = true;
  } else if (type == "Metaspace") {
    rules.space = json_string(json, "replacement", "\xe2\x96\x81", where);
    const bool prefix = json_bool(json, "add_prefix_space", true, where);
    rules.drop_first_space =
        json_string(json, "prepend_scheme", prefix ? "always" : "never", where) != "never";
  } else if (type == "Replace") {
    const auto* pattern = json_member(json, "pattern");
    const std::string from = pattern == nullptr ? "" : json_string(*pattern, "String", "", where);
    require(!from.empty() && !fused, where, ": this Replace decoder is not supported");
    rules.replacements.emplace_back(from, json_string(json, "content", "", where));
  } else if (type == "Strip") {
    require(fused && json_int(json, "stop", 0, where) == 0, where, ": this Strip decoder is not supported");
    rules.strip = json_string(json, "content", " ", where);
    rules.strip_count = static_cast<int>(json_int(json, "start", 0, where));
    require(!rules.strip.empty() && rules.strip_count >= 0 && rules.strip_count < 1000, where,
            ": a Strip decoder without sense");
  } else {
    throw Error(where + ": the decoder '" + type + "' is not supported");
  }
}

}  // namespace

DecoderRules read_decoder_rules(const boost::json::value& json, const std::string& where) {
  DecoderRules rules;
  if (json.is_null()) {
    rules.spaced = true;
    return rules;
  }
  bool fused = false;
  add_rule(json, rules, fused, where, 0);
  require(!rules.byte_level || (!rules.byte_fallback && rules.space.empty()), where,
          ": this mixture of decoders is not supported");
  return rules;
}

void TokenTextStream::push(std::string_view token, std::string& settled) {
  const bool first = first_token_;
  first_token_ = false;
  if (rules_.byte_fallback) {
    if (const int byte = fallback_byte(token); byte >= 0) {
      const char c = static_cast<char>(byte);
      std::string valid;
      run_check_.push({&c, 1}, valid);
      run_.push_back(c);
      run_replaced_ += kReplacement;
      // A U+FFFD that was not written as such stands for an invalid byte.
      run_invalid_ =
          run_invalid_ || (valid.find(kReplacement) != std::string::npos && !run_.ends_with(valid));
      return;
    }
    end_run(settled);
  }
  std::string text(token);
  for (const auto& [from, to] : rules_.replacements) text = replace_all(text, from, to);
  if (!rules_.space.empty()) {
    if (first && rules_.drop_first_space && text.starts_with(rules_.space))
      text.erase(0, rules_.space.size());
    text = replace_all(text, rules_.space, " ");
  }
  if (rules_.byte_level) text = from_byte_level(text);
  if (rules_.spaced && !first) push_text(" ", settled);
  push_text(text, settled);
}

std::string_view TokenTextStream::tail() const {
  if (run_.empty()) return bytes_.tail();
  return run_invalid_ || !run_check_.tail().empty() ? run_replaced_ : run_;
}

void TokenTextStream::push_text(std::string_view text, std::string& settled) {
  std::string valid;
  bytes_.push(text, valid);
  settle(valid, settled);
}

void TokenTextStream::end_run(std::string& settled) {
  if (run_.empty()) return;
  settle(tail(), settled);
  run_.clear();
  run_replaced_.clear();
  run_check_ = Utf8Stream(Replacement::per_byte);
  run_invalid_ = false;
}

void TokenTextStream::settle(std::string_view text, std::string& settled) {
  while (stripping_ && !text.empty()) {
    if (stripped_ < rules_.strip_count && text.starts_with(rules_.strip)) {
      text.remove_prefix(rules_.strip.size());
      ++stripped_;
    } else {
      stripping_ = false;
    }
  }
  settled += text;
}

}  // namespace uhd
