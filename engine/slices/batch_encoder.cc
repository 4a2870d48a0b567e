#include "engine/slices/batch_encoder.h"

#include "base/clock.h"
#include "base/log.h"

namespace uhd {

std::vector<BatchEncoder::Pass> BatchEncoder::encode(std::span<const Item> batch) {
  std::vector<Pass> passes;
  Pass all = run(batch, 0, batch.size());
  if (all.failure.empty() || batch.size() == 1) {
    passes.push_back(std::move(all));
    return passes;
  }
  for (size_t i = 0; i < batch.size(); ++i) passes.push_back(run(batch, i, 1));
  return passes;
}

BatchEncoder::Pass BatchEncoder::run(std::span<const Item> batch, size_t first, size_t count) {
  Pass pass{.first = first, .count = count};
  std::vector<const Slice*> slices;
  int64_t rows = 0;
  for (const Item& item : batch.subspan(first, count)) {
    slices.push_back(item.slice);
    rows += item.rows;
  }
  const TimePoint start = Clock::now();
  try {
    const Tensor all = buffers_.batch(rows);
    encode_(slices, all);
    int64_t from = 0;
    for (const Item& item : batch.subspan(first, count)) {
      StagedRows staged = buffers_.take(item.rows);
      buffers_.backend().cast(staged.rows, all.slice_rows(from, item.rows));
      pass.rows.push_back(std::move(staged));
      from += item.rows;
    }
  } catch (const std::exception& e) {
    log_error("encoding failed", "slices", count, "reason", e.what());
    pass.rows.clear();
    pass.failure = e.what();
    if (pass.failure.empty()) pass.failure = "the encoder failed";
  }
  pass.seconds = seconds(Clock::now() - start);
  return pass;
}

}  // namespace uhd
