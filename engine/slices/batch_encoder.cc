#include "engine/slices/batch_encoder.h"

#include "base/clock.h"
#include "base/log.h"

namespace uhd {

Parts BatchEncoder::encode(std::span<const Item> batch, std::vector<Pass>& passes) {
  std::vector<StagedRows> staged;
  for (const Item& item : batch) staged.push_back(buffers_.take(item.rows));
  passes.push_back({.first = 0, .count = batch.size()});
  for (Parts parts = run(batch, staged, passes.back()); parts.advance();) co_yield Parts::Pause{};
  if (passes.back().failure.empty() || batch.size() == 1) co_return;
  passes.pop_back();
  for (size_t i = 0; i < batch.size(); ++i) {
    passes.push_back({.first = i, .count = 1});
    for (Parts parts = run(batch, staged, passes.back()); parts.advance();) co_yield Parts::Pause{};
  }
}

// Fills in the pass, of which it is given which slices they are.
Parts BatchEncoder::run(std::span<const Item> batch, std::vector<StagedRows>& staged, Pass& pass) {
  const std::span<const Item> items = batch.subspan(pass.first, pass.count);
  std::vector<const Slice*> slices;
  int64_t rows = 0;
  for (const Item& item : items) {
    slices.push_back(item.slice);
    rows += item.rows;
    pass.patches += item.patches;
  }
  try {
    const Tensor all = buffers_.batch(rows);
    TimePoint start = Clock::now();
    pass.begun = start;
    for (Parts parts = encode_(slices, all); parts.advance(); start = Clock::now()) {
      pass.seconds += seconds(Clock::now() - start);
      co_yield Parts::Pause{};
    }
    int64_t from = 0;
    for (const StagedRows& own : std::span(staged).subspan(pass.first, pass.count)) {
      buffers_.backend().cast(own.rows, all.slice_rows(from, own.rows.rows()));
      from += own.rows.rows();
    }
    for (size_t i = 0; i < pass.count; ++i) pass.rows.push_back(std::move(staged[pass.first + i]));
    pass.ended = Clock::now();
    pass.seconds += seconds(pass.ended - start);
  } catch (const std::exception& e) {
    log_error("encoding failed", "slices", pass.count, "reason", e.what());
    pass.failure = e.what();
    if (pass.failure.empty()) pass.failure = "the encoder failed";
  }
}

}  // namespace uhd
