#include "model/text/end_tokens.h"

#include <boost/json.hpp>

#include "base/log.h"
#include "base/mapped_file.h"
#include "model/json_file.h"

namespace uhd {
namespace {

// A text, or an object with its content; anything else is no name of a token.
std::string content_of(const boost::json::value* token) {
  if (token != nullptr && token->is_object()) token = json_member(*token, "content");
  return token != nullptr && token->is_string() ? std::string(token->get_string()) : "";
}

}  // namespace

void add_end_tokens(const std::filesystem::path& directory, const Tokenizer& tokenizer,
                    LanguageConfig& language) {
  for (const char* file : {"tokenizer_config.json", "special_tokens_map.json"}) {
    if (!is_there(directory / file)) continue;
    const boost::json::value json = read_json_file(directory / file);
    const std::string content = content_of(json_member(json, "eos_token"));
    if (content.empty()) continue;
    const auto id = tokenizer.id_of(content);
    if (id && *id < language.vocabulary) {
      add_end_token(language, *id);
    } else {
      log_warning("an eos_token that the model does not have is left out", "file", file, "token", content);
    }
  }
}

void warn_of_tokens_beyond(const Tokenizer& tokenizer, const LanguageConfig& language) {
  if (tokenizer.vocabulary() <= language.vocabulary) return;
  log_warning("the tokenizer has tokens that the model has no embedding for; texts with them are refused",
              "tokens", tokenizer.vocabulary(), "embeddings", language.vocabulary);
}

}  // namespace uhd
