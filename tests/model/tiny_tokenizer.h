// Makes small tokenizers for tests: bytes, some merges, some special tokens.
#pragma once

#include <boost/json.hpp>
#include <memory>
#include <string>

#include "model/text/pre_tokenizer.h"
#include "model/text/tokenizer_json.h"

namespace uhd {

inline boost::json::object added_token(int id, const std::string& content, bool special = true) {
  return {{"id", id}, {"content", content}, {"special", special}, {"normalized", false}};
}

// Returns a byte-level one: every byte, "he" and "hel" merged, and special tokens as chat models have them.
inline boost::json::object tiny_byte_json() {
  boost::json::object vocabulary;
  for (int b = 0; b < 256; ++b) vocabulary[byte_level_character(static_cast<unsigned char>(b))] = b;
  vocabulary["he"] = 256;
  vocabulary["hel"] = 257;
  return {
      {"added_tokens", boost::json::array{added_token(300, "<|im_start|>"), added_token(301, "<|im_end|>"),
                                          added_token(302, "<image>"), added_token(303, "<tool>", false)}},
      {"pre_tokenizer", {{"type", "ByteLevel"}, {"add_prefix_space", false}}},
      {"decoder", {{"type", "ByteLevel"}}},
      {"model", {{"type", "BPE"}, {"vocab", vocabulary}, {"merges", {"h e", "he l"}}}}};
}
inline std::shared_ptr<const Tokenizer> tiny_byte_tokenizer() {
  return make_tokenizer_json(boost::json::serialize(tiny_byte_json()), "tiny");
}

// Returns one with byte fallback, like Llama's tokenizer.json: "▁", letters a to z, <0x00> to <0xFF>.
inline boost::json::object tiny_fallback_json() {
  boost::json::object vocabulary{{"<unk>", 0}, {"<s>", 1}};
  constexpr char kDigits[] = "0123456789ABCDEF";
  for (int b = 0; b < 256; ++b)
    vocabulary[std::string("<0x") + kDigits[b >> 4] + kDigits[b & 15] + ">"] = 2 + b;
  vocabulary["\xe2\x96\x81"] = 258;
  for (char c = 'a'; c <= 'z'; ++c) vocabulary[std::string(1, c)] = 259 + (c - 'a');
  const boost::json::object replace{
      {"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", "\xe2\x96\x81"}};
  const boost::json::object back{
      {"type", "Replace"}, {"pattern", {{"String", "\xe2\x96\x81"}}}, {"content", " "}};
  return {{"added_tokens", boost::json::array{added_token(1, "<s>")}},
          {"normalizer",
           {{"type", "Sequence"},
            {"normalizers",
             boost::json::array{boost::json::object{{"type", "Prepend"}, {"prepend", "\xe2\x96\x81"}},
                                replace}}}},
          {"decoder",
           {{"type", "Sequence"},
            {"decoders",
             boost::json::array{
                 back, boost::json::object{{"type", "ByteFallback"}}, boost::json::object{{"type", "Fuse"}},
                 boost::json::object{{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}}}}}},
          {"post_processor",
           {{"type", "TemplateProcessing"},
            {"single", boost::json::array{boost::json::object{{"SpecialToken", {{"id", "<s>"}}}},
                                          boost::json::object{{"Sequence", {{"id", "A"}}}}}}}},
          {"model",
           {{"type", "BPE"},
            {"vocab", vocabulary},
            {"merges", boost::json::array{}},
            {"unk_token", "<unk>"},
            {"byte_fallback", true}}}};
}
inline std::shared_ptr<const Tokenizer> tiny_fallback_tokenizer() {
  return make_tokenizer_json(boost::json::serialize(tiny_fallback_json()), "tiny");
}

}  // namespace uhd
