// Operations on logits and the ids that they choose.
#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/contracts.h"
#include "kernels/cpu/backend.h"
#include "kernels/draw.h"

namespace uhd::cpu {

void Backend::argmax(Tensor ids, Tensor values, Tensor logits) {
  contracts::argmax(ids, values, logits);
  for_rows(logits.rows(), logits.dim(1), [&](int64_t r) {
    const int64_t best = table_.argmax(logits.row<float>(r), logits.dim(1));
    ids.data<int32_t>()[r] = static_cast<int32_t>(best);
    values.data<float>()[r] = logits.row<float>(r)[best];
  });
}

void Backend::best_of_shards(Tensor ids, Tensor part_ids, Tensor values, int64_t width, int64_t vocabulary) {
  contracts::best_of_shards(ids, part_ids, values, width, vocabulary);
  for (int64_t i = 0; i < ids.rows(); ++i) {
    float best = -std::numeric_limits<float>::infinity();
    int64_t chosen = -1;
    for (int64_t r = 0; r < part_ids.rows(); ++r) {
      const int64_t id = part_ids.row<int32_t>(r)[i] + r * width;
      const float value = values.row<float>(r)[i];
      if (id >= vocabulary || !(value > best)) continue;
      best = value;
      chosen = id;
    }
    ids.data<int32_t>()[i] = std::isfinite(best) ? static_cast<int32_t>(chosen) : -1;
  }
}

void Backend::draw(Tensor ids, Tensor logits, int64_t vocabulary, Tensor draws) {
  contracts::draw(ids, logits, vocabulary, draws);
  const int64_t shards = logits.dim(0), rows = logits.dim(1), width = logits.dim(2);
  draws_.resize(std::max(draws_.size(), static_cast<size_t>(rows)));
  pool_.parallel_for(rows, 1, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      DrawScratch& scratch = draws_[static_cast<size_t>(row)];
      scratch.logits.clear();
      for (int64_t r = 0; r < shards; ++r) {
        const float* part = logits.data<float>() + (r * rows + row) * width;
        const int64_t left = vocabulary - static_cast<int64_t>(scratch.logits.size());
        scratch.logits.insert(scratch.logits.end(), part, part + std::min(width, left));
      }
      const Draw& how = reinterpret_cast<const Draw*>(draws.data<int32_t>())[row];
      ids.data<int32_t>()[row] = draw_row(scratch.logits, how, scratch.keys);
    }
  });
}

void Backend::take_drawn(Tensor ids, Tensor drawn, Tensor at) {
  contracts::take_drawn(ids, drawn, at);
  for (int64_t t = 0; t < ids.rows(); ++t) {
    const int32_t from = at.data<int32_t>()[t];
    if (from == -1) continue;
    check(from >= 0 && from < drawn.rows(), "take_drawn: index ", from, " of ", drawn.rows());
    ids.data<int32_t>()[t] = drawn.data<int32_t>()[from];
  }
}

}  // namespace uhd::cpu
