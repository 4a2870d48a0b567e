// Which part of the language model one tensor-parallel rank holds.
#pragma once

#include <cstdint>

#include "model/config.h"

namespace uhd {

struct LanguageShard {
  int rank = 0;
  int size = 1;
  int first_head = 0, heads = 0;        // query heads
  int first_kv_head = 0, kv_heads = 0;  // the same one on several ranks where there are more ranks than heads
  int first_unit = 0, units = 0;        // of the MLP's intermediate width
  int first_id = 0;                     // of the vocabulary
  int ids = 0;                          // rows held, padding included: equal on all ranks
  int real_ids = 0;                     // rows that are tokens
};

// Throws an Error naming the count that `size` does not divide.
LanguageShard shard_of(const LanguageConfig& language, int rank, int size);

}  // namespace uhd
