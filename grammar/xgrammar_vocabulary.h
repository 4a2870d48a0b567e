// The one way from our vocabulary to XGrammar's, in the server and in the process that compiles.
#pragma once

#include <xgrammar/tokenizer_info.h>

#include "model/text/grammar.h"

namespace uhd {

// Tokens are raw bytes whatever the tokenizer is. Those without bytes are special to XGrammar: no answer
// holds them, but for the end tokens.
inline xgrammar::TokenizerInfo xgrammar_vocabulary(const GrammarVocabulary& vocabulary) {
  return xgrammar::TokenizerInfo(vocabulary.tokens, xgrammar::VocabType::RAW,
                                 static_cast<int>(vocabulary.tokens.size()), vocabulary.end_ids);
}

}  // namespace uhd
