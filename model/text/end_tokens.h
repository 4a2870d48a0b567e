// Reads from a checkpoint's tokenizer which tokens end an answer.
#pragma once

#include <filesystem>

#include "model/config.h"
#include "model/text/tokenizer.h"

namespace uhd {

// Adds the eos_token of tokenizer_config.json and special_tokens_map.json to the ends that the configs name.
// A token that the tokenizer or the model does not have is left out, with a warning in the log.
void add_end_tokens(const std::filesystem::path& directory, const Tokenizer& tokenizer,
                    LanguageConfig& language);

// Warns when the tokenizer has tokens beyond the model's embedding: a text that contains one is refused.
void warn_of_tokens_beyond(const Tokenizer& tokenizer, const LanguageConfig& language);

}  // namespace uhd
