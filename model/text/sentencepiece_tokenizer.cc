#include "model/text/sentencepiece_tokenizer.h"

#include <sentencepiece_processor.h>

#include <boost/json.hpp>
#include <charconv>
#include <deque>
#include <unordered_map>

#include "base/error.h"
#include "base/mapped_file.h"
#include "base/utf8.h"
#include "model/json_file.h"
#include "model/text/added_tokens.h"
#include "model/text/replace_all.h"
#include "model/text/sentencepiece_model.h"

namespace uhd {
namespace {

constexpr size_t kMaxModelBytes = size_t{64} << 20;

// normalizer_spec { add_dummy_prefix: false } as a protobuf: appended to a model, it is merged into it.
constexpr std::string_view kNoDummyPrefix("\x1a\x02\x18\x00", 4);

// The library throws where its tree of pieces cannot be made, as for a piece with a null byte.
bool is_loaded(sentencepiece::SentencePieceProcessor& processor, const std::string& model) {
  try {
    return processor.LoadFromSerializedProto(model).ok();
  } catch (const std::exception&) {
    return false;
  }
}

class SentencePieceTokenizer final : public Tokenizer {
 public:
  SentencePieceTokenizer(std::string model, const SentencePieceOptions& options, std::deque<AddedToken> added,
                         const std::string& name)
      : options_(options), added_(std::move(added)) {
    require(model.size() <= kMaxModelBytes, name, " is too large for a SentencePiece model");
    if (!options_.legacy) model += kNoDummyPrefix;
    const SentencePieceRules rules = read_sentencepiece_rules(model);
    by_parts_ = rules.is_plain_bpe();
    require(is_loaded(processor_, model) && processor_.GetPieceSize() > 0, name,
            " is not a SentencePiece model");
    read_pieces();
    const bool has_bytes = processor_.IsByte(processor_.PieceToId("<0x00>"));
    bool keeps_text = has_bytes && rules.keeps_text();
    for (const int id : {processor_.unk_id(), processor_.bos_id(), processor_.eos_id()}) {
      if (id >= 0 && !by_content_.contains(pieces_[id].text)) {
        added_.push_back({.id = id, .content = pieces_[id].text, .special = true});
      }
    }
    for (const AddedToken& token : added_) {
      require(token.id >= 0 && token.id < 10'000'000, name, ": added token ", token.content, " has id ",
              token.id);
      if (static_cast<size_t>(token.id) >= pieces_.size()) pieces_.resize(token.id + 1);
      Piece& piece = pieces_[token.id];
      piece = {Kind::added, token.content};
      piece.special = token.special;
      ids_[token.content] = token.id;
      finder_.add(token, token.content);
      keeps_text = keeps_text && !token.lstrip && !token.rstrip;
    }
    for (const Piece& piece : pieces_) longest_piece_ = std::max(longest_piece_, piece.text.size());
    if (!keeps_text) longest_piece_ = 0;
    if (options_.add_bos && processor_.bos_id() >= 0) prefix_.push_back(processor_.bos_id());
    if (options_.add_eos && processor_.eos_id() >= 0) suffix_.push_back(processor_.eos_id());
    if (!options_.legacy && processor_.unk_id() >= 0) {
      unk_text_ = pieces_[processor_.unk_id()].text;
      unk_length_ = plain(unk_text_).size();
    }
  }

  int vocabulary() const override { return static_cast<int>(pieces_.size()); }

  std::vector<int32_t> encode_around(std::string_view given, bool add_special,
                                     std::span<const TextRange> literal) const override {
    std::vector<int32_t> ids;
    if (add_special) ids = prefix_;
    std::string repaired;
    const std::string_view text =
        is_utf8(given) ? given : std::string_view(repaired = repair_utf8(given, Replacement::per_subpart));
    bool first = true;
    if (!text.empty()) {
      for (const TextPart& piece : finder_.split(text, literal)) {
        if (piece.token != nullptr) {
          ids.push_back(piece.token->id);
        } else {
          encode_plain(text.substr(piece.range.begin, piece.range.end - piece.range.begin), first, ids);
        }
        first = false;
      }
    }
    if (add_special) ids.insert(ids.end(), suffix_.begin(), suffix_.end());
    return ids;
  }

  std::unique_ptr<TextDecoder> decoder(bool skip_special) const override;

  std::string bytes_of_token(int32_t id) const override {
    const Piece* piece = find(id);
    if (piece == nullptr) return "";
    if (piece->kind == Kind::byte) return std::string(1, static_cast<char>(piece->byte));
    return piece->kind == Kind::text ? replace_all(piece->text, kPieceSpace, " ") : piece->text;
  }
  std::optional<int32_t> id_of(std::string_view token) const override {
    const auto found = ids_.find(std::string(token));
    return found == ids_.end() ? std::nullopt : std::optional<int32_t>(found->second);
  }
  bool is_special(int32_t id) const override {
    const Piece* piece = find(id);
    return piece != nullptr && piece->special;
  }
  size_t max_bytes_per_id() const override { return longest_piece_; }
  std::span<const int32_t> prefix() const override { return prefix_; }

 private:
  friend class SentencePieceDecoder;
  enum class Kind : uint8_t { text, byte, control, added };
  struct Piece {
    Kind kind = Kind::control;
    std::string text;
    unsigned char byte = 0;
    bool special = true;
  };

  void read_pieces() {
    for (int id = 0; id < processor_.GetPieceSize(); ++id) {
      Piece piece{Kind::text, processor_.IdToPiece(id)};
      if (processor_.IsByte(id)) {
        piece.kind = Kind::byte;
        std::from_chars(piece.text.data() + 3, piece.text.data() + piece.text.size(), piece.byte,
                        16);  // <0xE2>
      } else if (processor_.IsControl(id) || processor_.IsUnknown(id)) {
        piece.kind = Kind::control;
      }
      piece.special = piece.kind == Kind::control;
      ids_.emplace(piece.text, id);
      pieces_.push_back(std::move(piece));
    }
    std::vector<std::string> texts;
    for (const Piece& piece : pieces_) {
      if (piece.kind == Kind::text) texts.push_back(piece.text);
    }
    // A space that is no piece would join others that are unknown.
    by_parts_ = by_parts_ && spaces_begin_pieces(texts) && ids_.contains(std::string(kPieceSpace));
    for (const AddedToken& token : added_) by_content_.emplace(token.content, token.id);
  }

  const Piece* find(int32_t id) const {
    return id >= 0 && static_cast<size_t>(id) < pieces_.size() ? &pieces_[id] : nullptr;
  }

  std::vector<int> plain(std::string_view text) const {
    std::vector<int> ids;
    require(processor_.Encode(text, &ids).ok(), "SentencePiece cannot encode this text");
    return ids;
  }

  // Part by part, where that gives the same ids.
  void encode_plain(std::string_view text, bool first, std::vector<int32_t>& ids) const {
    size_t begin = 0;
    while (begin < text.size()) {
      const size_t end =
          by_parts_ && options_.part_bytes > 0 ? next_cut(text, begin + options_.part_bytes) : text.size();
      // The space that a part begins with is the one that the older reading puts before every text.
      const size_t skip = begin > 0 && options_.legacy ? 1 : 0;
      encode_part(text.substr(begin + skip, end - begin - skip), first && begin == 0, ids);
      begin = end;
    }
  }

  void encode_part(std::string_view text, bool first, std::vector<int32_t>& ids) const {
    if (options_.legacy) {
      const auto encoded = plain(text);
      ids.insert(ids.end(), encoded.begin(), encoded.end());
      return;
    }
    std::string prepared = replace_all(text, kPieceSpace, " ");
    if (first) prepared.insert(0, kPieceSpace);
    // The text follows the unknown token's text, so that SentencePiece takes leading spaces as they are.
    const bool guarded = prepared.starts_with(' ') || prepared.starts_with(kPieceSpace);
    const auto encoded = plain(guarded ? unk_text_ + prepared : prepared);
    const size_t skip = guarded ? std::min(unk_length_, encoded.size()) : 0;
    ids.insert(ids.end(), encoded.begin() + static_cast<std::ptrdiff_t>(skip), encoded.end());
  }

  SentencePieceOptions options_;
  bool by_parts_ = false;
  sentencepiece::SentencePieceProcessor processor_;
  std::deque<AddedToken> added_;  // addresses stay
  std::unordered_map<std::string, int32_t> by_content_;
  AddedTokenFinder finder_;
  std::vector<Piece> pieces_;
  std::unordered_map<std::string, int32_t> ids_;
  std::vector<int32_t> prefix_;
  std::vector<int32_t> suffix_;
  std::string unk_text_;
  size_t unk_length_ = 0;
  size_t longest_piece_ = 0;  // in bytes; 0 where texts lose bytes
};

// Pieces to text as SentencePiece does: the first space of a text is the dummy prefix, a run of byte pieces
// is read as UTF-8.
class SentencePieceDecoder final : public TextDecoder {
 public:
  SentencePieceDecoder(const SentencePieceTokenizer& tokenizer, bool skip_special)
      : tokenizer_(tokenizer), skip_special_(skip_special) {}

  void push(int32_t id, std::string& settled) override {
    using Kind = SentencePieceTokenizer::Kind;
    const auto* piece = tokenizer_.find(id);
    if (piece == nullptr || (piece->special && skip_special_)) return;
    const size_t before = settled.size();
    if (piece->kind == Kind::byte) {
      const char byte = static_cast<char>(piece->byte);
      bytes_.push({&byte, 1}, settled);
      started_ = true;
      return;
    }
    bytes_.finish(settled);
    if (piece->kind == Kind::text) {
      std::string_view text = piece->text;
      if (!started_ && text.starts_with(kPieceSpace)) {
        text.remove_prefix(kPieceSpace.size());
        started_ = true;
      }
      settled += replace_all(text, kPieceSpace, " ");
    } else {
      settled += piece->text;
    }
    started_ = started_ || settled.size() > before;
  }
  std::string_view tail() const override { return bytes_.tail(); }

 private:
  const SentencePieceTokenizer& tokenizer_;
  bool skip_special_;
  bool started_ = false;  // no space is taken away any more
  Utf8Stream bytes_{Replacement::per_byte};
};

std::unique_ptr<TextDecoder> SentencePieceTokenizer::decoder(bool skip_special) const {
  return std::make_unique<SentencePieceDecoder>(*this, skip_special);
}

// Added tokens of all three files.
std::deque<AddedToken> read_added_tokens(const std::filesystem::path& directory,
                                         const boost::json::value& config, const std::string& config_name) {
  std::map<int32_t, AddedToken> tokens;
  const auto added_path = directory / "added_tokens.json";
  if (is_there(added_path)) {
    const boost::json::value added = read_json_file(added_path);
    require(added.is_object(), added_path.string(), " is not a JSON object");
    for (const auto& member : added.get_object()) {
      const std::string content(member.key());
      const auto id = static_cast<int32_t>(json_int(added, content, -1, added_path.string()));
      require(!content.empty(), added_path.string(), ": an added token without content");
      tokens[id] = {.id = id, .content = content, .special = true};
    }
  }
  if (const auto* decoder = json_member(config, "added_tokens_decoder"); decoder != nullptr) {
    require(decoder->is_object(), config_name, ": added_tokens_decoder must be an object");
    for (const auto& member : decoder->get_object()) {
      const std::string key(member.key());
      int32_t id = -1;
      const auto [end, fault] = std::from_chars(key.data(), key.data() + key.size(), id);
      require(fault == std::errc() && end == key.data() + key.size(), config_name,
              ": added_tokens_decoder has the key '", key, "', which is not an id");
      tokens[id] = read_added_token(member.value(), id, config_name);
    }
  }
  std::deque<AddedToken> result;
  for (auto& [id, token] : tokens) result.push_back(std::move(token));
  return result;
}

}  // namespace

std::shared_ptr<const Tokenizer> load_sentencepiece_tokenizer(const std::filesystem::path& directory) {
  const auto config_path = directory / "tokenizer_config.json";
  const std::string name = config_path.string();
  const boost::json::value config =
      is_there(config_path) ? read_json_file(config_path) : boost::json::value(nullptr);
  SentencePieceOptions options;
  options.legacy = json_bool(config, "legacy", true, name);
  options.add_bos = json_bool(config, "add_bos_token", true, name);
  options.add_eos = json_bool(config, "add_eos_token", false, name);
  const auto model = directory / "tokenizer.model";
  return std::make_shared<SentencePieceTokenizer>(read_text_file(model, kMaxModelBytes), options,
                                                  read_added_tokens(directory, config, name), model.string());
}

std::shared_ptr<const Tokenizer> make_sentencepiece_tokenizer(const std::string& model,
                                                              const SentencePieceOptions& options,
                                                              const std::string& name) {
  return std::make_shared<SentencePieceTokenizer>(model, options, std::deque<AddedToken>{}, name);
}

}  // namespace uhd
