#include "model/text/added_tokens.h"

#include <algorithm>

#include "base/error.h"
#include "base/utf8.h"
#include "model/json_file.h"
#include "model/text/unicode.h"

namespace uhd {
namespace {

size_t previous_character(std::string_view text, size_t at) {
  do {
    --at;
  } while (at > 0 && !begins_character(text[at]));
  return at;
}

bool word_before(std::string_view text, size_t at) {
  return at > 0 && is_word(utf8_at(text, previous_character(text, at)).value);
}
bool word_after(std::string_view text, size_t at) {
  return at < text.size() && is_word(utf8_at(text, at).value);
}

// Returns true if [begin, end) shares a byte with a literal range; `next` moves along with ascending calls.
bool touches(std::span<const TextRange> literal, size_t& next, size_t begin, size_t end) {
  while (next < literal.size() && literal[next].end <= begin) ++next;
  return next < literal.size() && literal[next].begin < end;
}

}  // namespace

AddedToken read_added_token(const boost::json::value& json, int32_t id, const std::string& where) {
  AddedToken token;
  token.id = id;
  token.content = json_string(json, "content", "", where);
  require(!token.content.empty(), where, ": an added token without content");
  token.special = json_bool(json, "special", false, where);
  token.normalized = json_bool(json, "normalized", !token.special, where);
  token.lstrip = json_bool(json, "lstrip", false, where);
  token.rstrip = json_bool(json, "rstrip", false, where);
  token.single_word = json_bool(json, "single_word", false, where);
  return token;
}

void AddedTokenFinder::add(const AddedToken& token, std::string_view needle) {
  uint32_t node = 0;
  for (const char c : needle) {
    const auto [step, is_new] =
        nodes_[node].next.emplace(static_cast<unsigned char>(c), static_cast<uint32_t>(nodes_.size()));
    node = step->second;
    if (is_new) nodes_.emplace_back();
  }
  if (node != 0) nodes_[node].token = &token;
}

const AddedToken* AddedTokenFinder::longest(std::string_view text, size_t at, bool special,
                                            size_t& bytes) const {
  const AddedToken* found = nullptr;
  uint32_t node = 0;
  for (size_t end = at; end < text.size();) {
    const auto step = nodes_[node].next.find(static_cast<unsigned char>(text[end]));
    if (step == nodes_[node].next.end()) break;
    node = step->second;
    ++end;
    const AddedToken* token = nodes_[node].token;
    if (token != nullptr && (special || !token->special)) {
      found = token;
      bytes = end - at;
    }
  }
  return found;
}

std::vector<TextPart> AddedTokenFinder::split(std::string_view text,
                                              std::span<const TextRange> literal) const {
  std::vector<TextPart> pieces;
  size_t done = 0;
  size_t next_literal = 0;
  for (size_t at = 0; at < text.size();) {
    size_t bytes = 0;
    const AddedToken* token = longest(text, at, true, bytes);
    if (token != nullptr && token->special && touches(literal, next_literal, at, at + bytes)) {
      token = longest(text, at, false, bytes);
    }
    if (token == nullptr) {
      ++at;
      continue;
    }
    if (token->single_word && (word_before(text, at) || word_after(text, at + bytes))) {
      at += bytes;
      continue;
    }
    size_t begin = at;
    size_t end = at + bytes;
    while (token->lstrip && begin > done) {
      const size_t previous = previous_character(text, begin);
      if (!is_space(utf8_at(text, previous).value)) break;
      begin = previous;
    }
    while (token->rstrip && end < text.size() && is_space(utf8_at(text, end).value)) {
      end += utf8_at(text, end).bytes;
    }
    if (begin > done) pieces.push_back({{done, begin}, nullptr});
    pieces.push_back({{begin, end}, token});
    done = at = end;
  }
  if (done < text.size()) pieces.push_back({{done, text.size()}, nullptr});
  return pieces;
}

}  // namespace uhd
