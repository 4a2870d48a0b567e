// A ForwardInput holds everything that one forward pass of the language model works on, as plain arrays that
// travel to every rank of the group.
#pragma once

#include <cstdint>
#include <vector>

namespace uhd {

// The pass computes T tokens of S sequences. Sequence s owns tokens q_offsets[s] .. q_offsets[s+1].
struct ForwardInput {
  std::vector<int32_t> ids;         // [T]; kVisualToken where a visual row goes
  std::vector<int32_t> positions;   // [T]
  std::vector<int32_t> slots;       // [T]; page * page size + offset
  std::vector<int32_t> q_offsets;   // [S+1]
  std::vector<int32_t> kv_lengths;  // [S]
  std::vector<int32_t> page_table;  // [S, max_pages] row-major
  int32_t max_pages = 0;
  // Token visual_at[i] of this step takes row visual_rows[i] of the rank's visual store.
  std::vector<int32_t> visual_at;
  std::vector<int32_t> visual_rows;
  // The logits of these tokens are wanted (the last tokens of sequences that sample).
  std::vector<int32_t> sample_at;
  // The logits of these tokens are wanted, too, so that the host learns how likely the next ones were.
  std::vector<int32_t> score_at;
  // These words say how the tokens at sample_at are drawn, [samples, kDrawWords] (kernels/draw.h); empty if
  // they are not drawn.
  std::vector<int32_t> draws;
  // [T], or empty. If drawn_at[t] is not -1, token t is the id that the step before drew as its
  // drawn_at[t]-th, which the host may not know yet; if it is -1, token t is ids[t].
  std::vector<int32_t> drawn_at;
};

template <class Archive>
void serialize(Archive& archive, ForwardInput& x) {
  archive(x.ids, x.positions, x.slots, x.q_offsets, x.kv_lengths, x.page_table, x.max_pages, x.visual_at,
          x.visual_rows, x.sample_at, x.score_at, x.draws, x.drawn_at);
}

}  // namespace uhd
