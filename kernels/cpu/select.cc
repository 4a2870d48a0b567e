// Implements the operations on logits and the ids that they choose.
#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/cpu/backend.h"
#include "kernels/draw.h"

namespace uhd::cpu {

void Backend::perform(const ops::Argmax& op) {
  for_rows(op.logits.rows(), op.logits.dim(1), [&](int64_t r) {
    const int64_t best = table_.argmax(op.logits.row<float>(r), op.logits.dim(1));
    op.ids.data<int32_t>()[r] = static_cast<int32_t>(best);
    op.values.data<float>()[r] = op.logits.row<float>(r)[best];
  });
}

void Backend::perform(const ops::BestOfShards& op) {
  for (int64_t i = 0; i < op.ids.rows(); ++i) {
    float best = -std::numeric_limits<float>::infinity();
    int64_t chosen = -1;
    for (int64_t r = 0; r < op.part_ids.rows(); ++r) {
      const int64_t id = op.part_ids.row<int32_t>(r)[i] + r * op.width;
      const float value = op.values.row<float>(r)[i];
      if (id >= op.vocabulary || !(value > best)) continue;
      best = value;
      chosen = id;
    }
    op.ids.data<int32_t>()[i] = std::isfinite(best) ? static_cast<int32_t>(chosen) : -1;
  }
}

void Backend::perform(const ops::MaskLogits& op) {
  const int64_t words = op.masks.dim(1);
  for_rows(op.rows.rows(), op.logits.dim(1), [&](int64_t i) {
    const int32_t row = op.rows.data<int32_t>()[i];
    check(row >= 0 && row < op.logits.rows(), "mask_logits: row ", row, " of ", op.logits.rows());
    float* logits = op.logits.row<float>(row);
    const int32_t* mask = op.masks.row<int32_t>(i);
    for (int64_t c = 0; c < op.logits.dim(1); ++c) {
      const int64_t id = op.first_id + c;
      const bool may = id / 32 < words && (static_cast<uint32_t>(mask[id / 32]) >> (id % 32) & 1) != 0;
      if (!may) logits[c] = -std::numeric_limits<float>::infinity();
    }
  });
}

void Backend::perform(const ops::Draw& op) {
  const int64_t shards = op.logits.dim(0), rows = op.logits.dim(1), width = op.logits.dim(2);
  draws_.resize(std::max(draws_.size(), static_cast<size_t>(rows)));
  pool_.parallel_for(rows, 1, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      DrawScratch& scratch = draws_[static_cast<size_t>(row)];
      scratch.logits.clear();
      for (int64_t r = 0; r < shards; ++r) {
        const float* part = op.logits.data<float>() + (r * rows + row) * width;
        const int64_t left = op.vocabulary - static_cast<int64_t>(scratch.logits.size());
        scratch.logits.insert(scratch.logits.end(), part, part + std::min(width, left));
      }
      const Draw& how = reinterpret_cast<const Draw*>(op.draws.data<int32_t>())[row];
      op.ids.data<int32_t>()[row] = draw_row(scratch.logits, how, scratch.keys);
    }
  });
}

void Backend::perform(const ops::TakeDrawn& op) {
  for (int64_t t = 0; t < op.ids.rows(); ++t) {
    const int32_t from = op.at.data<int32_t>()[t];
    if (from == -1) continue;
    check(from >= 0 && from < op.drawn.rows(), "take_drawn: index ", from, " of ", op.drawn.rows());
    op.ids.data<int32_t>()[t] = op.drawn.data<int32_t>()[from];
  }
}

}  // namespace uhd::cpu
