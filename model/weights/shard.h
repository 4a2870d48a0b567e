// A shard says which part of the language model one tensor-parallel rank holds.
#pragma once

#include <cstdint>

#include "model/config.h"

namespace uhd {

struct LanguageShard {
  int rank = 0;
  int size = 1;
  int first_head = 0, heads = 0;        // query heads
  int first_kv_head = 0, kv_heads = 0;  // shared by several ranks if there are more ranks than heads
  int first_unit = 0, units = 0;        // units of the MLP's intermediate width
  int first_id = 0;                     // the first row's id in the vocabulary
  int ids = 0;                          // the rows held, padding included: equal on all ranks
  int real_ids = 0;                     // the rows that are tokens
};

// Throws an Error that names the count that `size` does not divide.
LanguageShard shard_of(const LanguageConfig& language, int rank, int size);

// Returns the number of parts into which the inputs of `o` and `down` are cut at the same places for every
// number of ranks, so that sums over them are the same to the last bit: the most that divide the model's
// heads and MLP width, up to kVirtualShards. Throws an Error if they are no multiple of `ranks`.
constexpr int kVirtualShards = 4;
int virtual_shards(const LanguageConfig& language, int ranks);

}  // namespace uhd
