#include "model/text/tokenizer.h"

#include <boost/json.hpp>

#include "base/error.h"
#include "base/mapped_file.h"
#include "model/json_file.h"
#include "model/text/sentencepiece_tokenizer.h"
#include "model/text/tokenizer_json.h"

namespace uhd {

std::vector<int32_t> Tokenizer::encode(std::string_view text, bool add_special, bool parse_special) const {
  const TextRange all{0, text.size()};
  return encode_around(text, add_special, {&all, parse_special ? size_t{0} : size_t{1}});
}

std::string Tokenizer::decode(std::span<const int32_t> ids, bool skip_special) const {
  const auto stream = decoder(skip_special);
  std::string text;
  for (const int32_t id : ids) stream->push(id, text);
  text += stream->tail();
  return text;
}

std::shared_ptr<const Tokenizer> load_tokenizer(const std::filesystem::path& directory) {
  namespace fs = std::filesystem;
  const bool has_json = is_there(directory / "tokenizer.json");
  const bool has_model = is_there(directory / "tokenizer.model");
  require(has_json || has_model, directory.string(), " has neither tokenizer.json nor tokenizer.model");
  const fs::path config = directory / "tokenizer_config.json";
  const std::string named =
      is_there(config) ? json_string(read_json_file(config), "tokenizer_class", "", config.string()) : "";
  const bool llama = named.empty() || named.starts_with("Llama");
  if (has_model && (llama || !has_json)) return load_sentencepiece_tokenizer(directory);
  return load_tokenizer_json(directory);
}

}  // namespace uhd
