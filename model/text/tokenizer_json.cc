#include "model/text/tokenizer_json.h"

#include <boost/json.hpp>
#include <deque>

#include "base/error.h"
#include "base/mapped_file.h"
#include "base/utf8.h"
#include "model/json_file.h"
#include "model/text/added_tokens.h"
#include "model/text/bpe.h"
#include "model/text/normalizer.h"
#include "model/text/pre_tokenizer.h"
#include "model/text/token_decoder.h"

namespace uhd {
namespace {

constexpr size_t kMaxFileBytes = size_t{256} << 20;
constexpr int64_t kMaxId = 10'000'000;

struct Affixes {
  std::vector<int32_t> prefix;
  std::vector<int32_t> suffix;
};

class JsonTokenizer final : public Tokenizer {
 public:
  JsonTokenizer(const boost::json::value& json, const std::string& where)
      : model_(json_required(json, "model", where), where + ": model") {
    if (const auto* step = json_member(json, "normalizer"))
      normalizer_ = Normalizer(*step, where + ": normalizer");
    if (const auto* step = json_member(json, "pre_tokenizer")) {
      pre_tokenizer_ = PreTokenizer(*step, where + ": pre_tokenizer");
    }
    const auto* decoder = json_member(json, "decoder");
    decoder_rules_ =
        read_decoder_rules(decoder == nullptr ? boost::json::value(nullptr) : *decoder, where + ": decoder");
    for (size_t i = 0; i < model_.vocabulary().size(); ++i)
      place(model_.vocabulary().id(i)) = static_cast<int32_t>(i);
    read_added(json, where);
    if (const auto* step = json_member(json, "post_processor")) {
      read_post_processor(*step, where + ": post_processor", 0);
    }
    places_.shrink_to_fit();
    measure_tokens();
  }

  // Replaces the prefix that the post-processor adds before a text.
  void set_prefix(std::vector<int32_t> prefix) { affixes_.prefix = std::move(prefix); }

  int vocabulary() const override { return static_cast<int>(places_.size()); }

  std::vector<int32_t> encode_around(std::string_view given, bool add_special,
                                     std::span<const TextRange> literal) const override {
    std::vector<int32_t> ids;
    if (add_special) ids = affixes_.prefix;
    std::string repaired;
    const std::string_view text =
        is_utf8(given) ? given : std::string_view(repaired = repair_utf8(given, Replacement::per_subpart));
    for (const TextPart& piece : raw_finder_.split(text, literal)) {
      if (piece.token != nullptr) {
        ids.push_back(piece.token->id);
      } else {
        encode_plain(text, piece.range, literal, ids);
      }
    }
    if (add_special) ids.insert(ids.end(), affixes_.suffix.begin(), affixes_.suffix.end());
    return ids;
  }

  std::unique_ptr<TextDecoder> decoder(bool skip_special) const override;

  std::string bytes_of_token(int32_t id) const override {
    const std::optional<Token> token = find(id);
    if (!token) return "";
    if (token->added) return std::string(token->text);
    std::string text;
    if (decoder_rules_.byte_level) {
      for (size_t at = 0; at < token->text.size();) {
        const CodePoint c = utf8_at(token->text, at);
        const int byte = byte_level_byte(c.value);
        if (byte < 0) return std::string(token->text);
        text.push_back(static_cast<char>(byte));
        at += c.bytes;
      }
      return text;
    }
    if (decoder_rules_.byte_fallback && token->text.size() == 6 && token->text.starts_with("<0x")) {
      return std::string(1, static_cast<char>(std::stoi(std::string(token->text.substr(3, 2)), nullptr, 16)));
    }
    DecoderRules plain = decoder_rules_;
    plain.drop_first_space = false;
    plain.strip_count = 0;
    TokenTextStream(plain).push(token->text, text);
    return text;
  }
  std::optional<int32_t> id_of(std::string_view token) const override {
    for (const AddedToken& added : added_) {
      if (added.content == token) return added.id;
    }
    return model_.id_of(token);
  }
  bool is_special(int32_t id) const override {
    const std::optional<Token> token = find(id);
    return token && token->special;
  }
  size_t max_bytes_per_id() const override { return max_bytes_per_id_; }
  std::span<const int32_t> prefix() const override { return affixes_.prefix; }

 private:
  friend class JsonDecoder;
  struct Token {
    std::string_view text;
    bool added = false;
    bool special = false;
  };
  // A token lies in the vocabulary or, as a negative number tells, among the added ones.
  static constexpr int32_t kNowhere = INT32_MIN;

  int32_t& place(int32_t id) {
    if (static_cast<size_t>(id) >= places_.size()) places_.resize(static_cast<size_t>(id) + 1, kNowhere);
    return places_[static_cast<size_t>(id)];
  }
  std::optional<Token> find(int32_t id) const {
    const int32_t at = id >= 0 && static_cast<size_t>(id) < places_.size() ? places_[id] : kNowhere;
    if (at == kNowhere) return std::nullopt;
    if (at >= 0) return Token{model_.vocabulary().text(static_cast<size_t>(at))};
    const AddedToken& added = added_[static_cast<size_t>(-1 - at)];
    return Token{added.content, true, added.special};
  }

  void read_added(const boost::json::value& json, const std::string& where) {
    if (json_member(json, "added_tokens") == nullptr) return;
    for (const auto& entry : json_array(json, "added_tokens", where)) {
      const int64_t id = json_int(entry, "id", -1, where + ": added_tokens");
      require(id >= 0 && id < kMaxId, where, ": an added token has the id ", id);
      added_.push_back(read_added_token(entry, static_cast<int32_t>(id), where + ": added_tokens"));
      const AddedToken& token = added_.back();
      place(token.id) = -static_cast<int32_t>(added_.size());
      if (token.normalized && !normalizer_.empty()) {
        normalized_finder_.add(token, normalizer_.apply(token.content));
        has_normalized_ = true;
      } else {
        raw_finder_.add(token, token.content);
      }
    }
  }

  void measure_tokens() {
    const bool byte_level = decoder_rules_.byte_level;
    bool keeps_text = model_.keeps_text(byte_level) && !pre_tokenizer_.drops_text();
    for (const AddedToken& token : added_) keeps_text = keeps_text && !token.lstrip && !token.rstrip;
    size_t longest = 4;  // an unknown character
    for (size_t id = 0; id < places_.size(); ++id) {
      const Token token = find(static_cast<int32_t>(id)).value_or(Token{});
      const size_t bytes = byte_level && !token.added ? characters(token.text) : token.text.size();
      longest = std::max(longest, bytes);
    }
    max_bytes_per_id_ = keeps_text ? longest * normalizer_.max_shrink() : 0;
  }
  static size_t characters(std::string_view text) {
    size_t count = 0;
    for (size_t at = 0; at < text.size(); at += utf8_at(text, at).bytes) ++count;
    return count;
  }

  // TemplateProcessing gives the ids around a text; the others add none.
  void read_post_processor(const boost::json::value& json, const std::string& where, int depth) {
    const std::string type = json_string(json, "type", "", where);
    if (type == "Sequence") {
      require(depth < 8, where, ": a Sequence nested too deeply");
      for (const auto& step : json_array(json, "processors", where))
        read_post_processor(step, where, depth + 1);
    } else if (type == "TemplateProcessing") {
      bool before = true;
      for (const auto& item : json_array(json, "single", where)) {
        const auto* special = json_member(item, "SpecialToken");
        if (special == nullptr) {
          before = false;
          continue;
        }
        const std::string content = json_string(*special, "id", "", where);
        const auto id = id_of(content);
        require(id.has_value(), where, ": the token '", content, "' is not known");
        (before ? affixes_.prefix : affixes_.suffix).push_back(*id);
      }
    } else {
      require(type == "ByteLevel", where, ": '", type, "' is not supported");
    }
  }

  void encode_plain(std::string_view text, TextRange range, std::span<const TextRange> literal,
                    std::vector<int32_t>& ids) const {
    const bool first = range.begin == 0;
    const std::string normal = normalizer_.apply(text.substr(range.begin, range.end - range.begin));
    if (!has_normalized_) return encode_words(normal, first, ids);
    // Places in the normalised text are not those of the text: where any of it was typed, all of it counts
    // so.
    const TextRange all{0, normal.size()};
    bool typed = false;
    for (const TextRange& one : literal) typed = typed || (one.begin < range.end && range.begin < one.end);
    for (const TextPart& piece : normalized_finder_.split(normal, {&all, typed ? size_t{1} : size_t{0}})) {
      if (piece.token != nullptr) {
        ids.push_back(piece.token->id);
      } else {
        encode_words(normal.substr(piece.range.begin, piece.range.end - piece.range.begin),
                     first && piece.range.begin == 0, ids);
      }
    }
  }

  void encode_words(std::string text, bool first, std::vector<int32_t>& ids) const {
    for (const std::string& word : pre_tokenizer_.split(std::move(text), first)) model_.encode(word, ids);
  }

  Bpe model_;
  Normalizer normalizer_;
  PreTokenizer pre_tokenizer_;
  DecoderRules decoder_rules_;
  std::deque<AddedToken> added_;  // addresses stay
  AddedTokenFinder raw_finder_;
  AddedTokenFinder normalized_finder_;
  bool has_normalized_ = false;
  std::vector<int32_t> places_;  // by id
  Affixes affixes_;
  size_t max_bytes_per_id_ = 0;
};

class JsonDecoder final : public TextDecoder {
 public:
  JsonDecoder(const JsonTokenizer& tokenizer, bool skip_special)
      : tokenizer_(tokenizer), stream_(tokenizer.decoder_rules_), skip_special_(skip_special) {}
  void push(int32_t id, std::string& settled) override {
    const auto token = tokenizer_.find(id);
    if (!token || (token->special && skip_special_)) return;
    stream_.push(token->text, settled);
  }
  std::string_view tail() const override { return stream_.tail(); }

 private:
  const JsonTokenizer& tokenizer_;
  TokenTextStream stream_;
  bool skip_special_;
};

std::unique_ptr<TextDecoder> JsonTokenizer::decoder(bool skip_special) const {
  return std::make_unique<JsonDecoder>(*this, skip_special);
}

std::shared_ptr<JsonTokenizer> parse(std::string_view text, const std::string& name) {
  const boost::json::value json = parse_json(text, name);
  require(json.is_object(), name, " is not a JSON object");
  return std::make_shared<JsonTokenizer>(json, name);
}

// Reads a token of tokenizer_config.json: a string, or an object with its content.
std::string content_of(const boost::json::value& config, std::string_view key, const std::string& name) {
  const auto* token = json_member(config, key);
  if (token == nullptr) return "";
  return token->is_object() ? json_string(*token, "content", "", name) : json_string(config, key, "", name);
}

}  // namespace

std::shared_ptr<const Tokenizer> load_tokenizer_json(const std::filesystem::path& directory) {
  const auto path = directory / "tokenizer.json";
  const auto tokenizer = parse(read_text_file(path, kMaxFileBytes), path.string());
  const auto config_path = directory / "tokenizer_config.json";
  if (!is_there(config_path)) return tokenizer;
  const boost::json::value config = read_json_file(config_path);
  const std::string name = config_path.string();
  const bool llama = json_string(config, "tokenizer_class", "", name).starts_with("Llama");
  if (llama && json_member(config, "add_bos_token") != nullptr) {
    const auto bos = tokenizer->id_of(content_of(config, "bos_token", name));
    const bool add = json_bool(config, "add_bos_token", true, name) && bos.has_value();
    tokenizer->set_prefix(add ? std::vector<int32_t>{*bos} : std::vector<int32_t>{});
  }
  return tokenizer;
}

std::shared_ptr<const Tokenizer> make_tokenizer_json(std::string_view json, const std::string& name) {
  return parse(json, name);
}

}  // namespace uhd
