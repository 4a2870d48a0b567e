// Packs keys and values of ragged segments as operands of attention, for one call.
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

#include "kernels/cpu/table.h"

namespace uhd::cpu {

inline int64_t round_up(int64_t n, int64_t unit) { return (n + unit - 1) / unit * unit; }

// An AttentionTask takes query rows [first, first + rows) of one segment.
struct AttentionTask {
  int32_t segment;
  int32_t rows;
  int64_t first;
};

// A TaskSpan is one span of the keys of one task.
struct TaskSpan {
  int64_t task;
  int64_t span;
};

// PackedKeys holds the places of the blocks of each segment. A block holds up to kBlockKeys keys, padded to
// 16, of all heads.
class PackedKeys {
 public:
  struct Block {
    int32_t segment;
    int32_t keys;
    int64_t first_key;
    int64_t padded_before;  // the padded keys of all blocks before this one
    int64_t padded() const { return round_up(keys, 16); }
  };

  // lengths(s) returns the number of keys of segment s.
  template <class Lengths>
  void plan(int64_t segments, int64_t heads, int64_t d, bool pairs, const Lengths& lengths) {
    heads_ = heads;
    k_bytes_ = pairs ? round_up(d, 2) * 2 : d * 4;
    v_bytes_ = round_up(d, 16) * (pairs ? 2 : 4);
    blocks_.clear();
    first_block_.clear();
    padded_ = 0;
    for (int64_t s = 0; s < segments; ++s) {
      first_block_.push_back(static_cast<int64_t>(blocks_.size()));
      for (int64_t at = 0; at < lengths(s); at += kBlockKeys) {
        const int64_t keys = std::min<int64_t>(kBlockKeys, lengths(s) - at);
        blocks_.push_back({static_cast<int32_t>(s), static_cast<int32_t>(keys), at, padded_});
        padded_ += blocks_.back().padded();
      }
    }
  }

  size_t bytes() const { return static_cast<size_t>(padded_ * heads_ * (k_bytes_ + v_bytes_)); }
  const std::vector<Block>& blocks() const { return blocks_; }
  int64_t first_block(int64_t segment) const { return first_block_[segment]; }
  int64_t k_at(const Block& b, int64_t head) const {
    return (b.padded_before * heads_ + head * b.padded()) * k_bytes_;
  }
  int64_t v_at(const Block& b, int64_t head) const {
    return padded_ * heads_ * k_bytes_ + (b.padded_before * heads_ + head * b.padded()) * v_bytes_;
  }

 private:
  std::vector<Block> blocks_;
  std::vector<int64_t> first_block_;
  int64_t padded_ = 0;
  int64_t heads_ = 0;
  int64_t k_bytes_ = 0;  // bytes of one key of one head
  int64_t v_bytes_ = 0;
};

}  // namespace uhd::cpu
