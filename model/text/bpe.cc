#include "model/text/bpe.h"

#include <algorithm>
#include <boost/json.hpp>
#include <queue>

#include "base/error.h"
#include "base/utf8.h"
#include "model/json_file.h"
#include "model/text/pre_tokenizer.h"

namespace uhd {
namespace {

constexpr size_t kMaxVocabulary = 4'000'000;

std::string byte_token(int byte) {
  constexpr char kDigits[] = "0123456789ABCDEF";
  return std::string("<0x") + kDigits[byte >> 4] + kDigits[byte & 15] + ">";
}

uint64_t pair_key(int32_t left, int32_t right) {
  return (static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32) | static_cast<uint32_t>(right);
}

// Reads "left right", or ["left", "right"].
std::pair<std::string, std::string> parts_of_merge(const boost::json::value& merge,
                                                   const std::string& where) {
  if (const auto* text = merge.if_string()) {
    const std::string_view line(*text);
    const size_t space = line.find(' ');
    require(space != std::string_view::npos && line.find(' ', space + 1) == std::string_view::npos, where,
            ": the merge '", line, "' is not two tokens");
    return {std::string(line.substr(0, space)), std::string(line.substr(space + 1))};
  }
  const auto* pair = merge.if_array();
  require(pair != nullptr && pair->size() == 2 && (*pair)[0].is_string() && (*pair)[1].is_string(), where,
          ": a merge that is not two tokens");
  return {std::string((*pair)[0].get_string()), std::string((*pair)[1].get_string())};
}

}  // namespace

Bpe::Bpe(const boost::json::value& json, const std::string& where) {
  const std::string type = json_string(json, "type", "BPE", where);
  require(type == "BPE", where, ": the model '", type, "' is not supported; only BPE is");
  for (const char* affix : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    require(json_string(json, affix, "", where).empty(), where, ": ", affix, " is not supported");
  }
  read_vocabulary(json, where);
  read_merges(json, where);
  fuse_unk_ = json_bool(json, "fuse_unk", false, where);
  ignore_merges_ = json_bool(json, "ignore_merges", false, where);
  if (const std::string unk = json_string(json, "unk_token", "", where); !unk.empty()) {
    unk_ = id_of(unk);
    require(unk_.has_value(), where, ": unk_token '", unk, "' is not in the vocabulary");
  }
  if (json_bool(json, "byte_fallback", false, where)) {
    byte_ids_.emplace();
    for (int byte = 0; byte < 256; ++byte) (*byte_ids_)[byte] = id_of(byte_token(byte)).value_or(-1);
  }
}

void Bpe::read_vocabulary(const boost::json::value& json, const std::string& where) {
  const auto* vocabulary = json_member(json, "vocab");
  require(vocabulary != nullptr && vocabulary->is_object() && !vocabulary->get_object().empty(), where,
          ": vocab must be an object with tokens");
  require(vocabulary->get_object().size() <= kMaxVocabulary, where, ": vocab has too many tokens");
  size_t bytes = 0;
  for (const auto& member : vocabulary->get_object()) bytes += member.key().size();
  tokens_ = TokenMap(vocabulary->get_object().size(), bytes);
  for (const auto& member : vocabulary->get_object()) {
    boost::json::error_code error;
    const auto id = member.value().to_number<int64_t>(error);
    require(!error && id >= 0 && id < static_cast<int64_t>(2 * kMaxVocabulary), where, ": token '",
            std::string_view(member.key()), "' has no id");
    tokens_.add(member.key(), static_cast<int32_t>(id));
  }
}

void Bpe::read_merges(const boost::json::value& json, const std::string& where) {
  const auto* merges = json_member(json, "merges");
  require(merges != nullptr && merges->is_array(), where, ": merges must be an array");
  require(merges->get_array().size() <= kMaxVocabulary, where, ": too many merges");
  merges_.reserve(merges->get_array().size());
  int32_t rank = 0;
  for (const auto& merge : merges->get_array()) {
    const auto [left, right] = parts_of_merge(merge, where);
    const auto left_id = id_of(left);
    const auto right_id = id_of(right);
    const auto joined = id_of(left + right);
    require(left_id && right_id && joined, where, ": the merge of '", left, "' and '", right,
            "' is of tokens that the vocabulary lacks");
    merges_.insert_or_assign(pair_key(*left_id, *right_id), Merge{rank++, *joined});
  }
}

std::optional<int32_t> Bpe::id_of(std::string_view token) const { return tokens_.find(token); }

bool Bpe::keeps_text(bool byte_level) const {
  if (unk_ && !fuse_unk_) return true;
  if (byte_ids_ && *std::min_element(byte_ids_->begin(), byte_ids_->end()) >= 0) return true;
  if (!byte_level) return false;
  for (int byte = 0; byte < 256; ++byte) {
    if (!id_of(byte_level_character(static_cast<unsigned char>(byte)))) return false;
  }
  return true;
}

const Bpe::Merge* Bpe::find_merge(int32_t left, int32_t right) const {
  const auto found = merges_.find(pair_key(left, right));
  return found == merges_.end() ? nullptr : &found->second;
}

void Bpe::encode(std::string_view word, std::vector<int32_t>& ids) const {
  if (word.empty()) return;
  if (ignore_merges_) {
    if (const auto whole = id_of(word)) {
      ids.push_back(*whole);
      return;
    }
  }
  std::vector<Symbol> symbols = symbols_of(word);
  if (symbols.empty()) return;
  merge(symbols);
  for (int32_t at = 0; at >= 0; at = symbols[at].next) ids.push_back(symbols[at].id);
}

std::vector<Bpe::Symbol> Bpe::symbols_of(std::string_view word) const {
  std::vector<Symbol> symbols;
  symbols.reserve(word.size());
  bool after_unk = false;
  for (size_t at = 0; at < word.size();) {
    const size_t bytes = std::max<size_t>(1, utf8_length(word, at));
    const std::string_view character = word.substr(at, bytes);
    at += bytes;
    bool is_unk = false;
    if (const auto id = id_of(character)) {
      symbols.push_back({*id});
    } else if (byte_ids_ && std::all_of(character.begin(), character.end(), [&](char c) {
                 return (*byte_ids_)[static_cast<unsigned char>(c)] >= 0;
               })) {
      for (const char c : character) symbols.push_back({(*byte_ids_)[static_cast<unsigned char>(c)]});
    } else if (unk_) {
      if (!(fuse_unk_ && after_unk)) symbols.push_back({*unk_});
      is_unk = true;
    }
    after_unk = is_unk;
  }
  for (size_t i = 0; i < symbols.size(); ++i) {
    symbols[i].previous = static_cast<int32_t>(i) - 1;
    symbols[i].next = i + 1 < symbols.size() ? static_cast<int32_t>(i) + 1 : -1;
  }
  return symbols;
}

// Merges by a list of symbols, and a heap of the pairs that can be merged. Pairs whose symbols have changed
// since are recognised by their ids and dropped.
void Bpe::merge(std::vector<Symbol>& symbols) const {
  struct Candidate {
    int32_t rank;
    int32_t left;   // place of the left symbol
    uint64_t pair;  // ids then
    int32_t id;     // of the two joined
    bool operator<(const Candidate& other) const {
      return rank != other.rank ? rank > other.rank : left > other.left;
    }
  };
  std::vector<Candidate> initial;
  const auto candidate = [&](int32_t left) -> std::optional<Candidate> {
    const int32_t right = left < 0 ? -1 : symbols[left].next;
    if (right < 0) return std::nullopt;
    const Merge* merge = find_merge(symbols[left].id, symbols[right].id);
    if (merge == nullptr) return std::nullopt;
    return Candidate{merge->rank, left, pair_key(symbols[left].id, symbols[right].id), merge->id};
  };
  for (size_t i = 0; i + 1 < symbols.size(); ++i) {
    if (const auto found = candidate(static_cast<int32_t>(i))) initial.push_back(*found);
  }
  std::priority_queue<Candidate> heap(std::less<Candidate>(), std::move(initial));
  while (!heap.empty()) {
    const Candidate best = heap.top();
    heap.pop();
    Symbol& left = symbols[best.left];
    if (left.id < 0 || left.next < 0 || pair_key(left.id, symbols[left.next].id) != best.pair) continue;
    Symbol& right = symbols[left.next];
    left.id = best.id;
    left.next = right.next;
    right.id = -1;  // gone
    if (left.next >= 0) symbols[left.next].previous = best.left;
    for (const int32_t at : {left.previous, best.left}) {
      if (const auto found = candidate(at)) heap.push(*found);
    }
  }
}

}  // namespace uhd
