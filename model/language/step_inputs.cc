#include "model/language/step_inputs.h"

#include <algorithm>

#include "kernels/draw.h"

namespace uhd {
namespace {

constexpr size_t kUnit = 16;  // entries: arrays begin at multiples of 64 bytes

// Lays arrays one behind the other.
class Layout {
 public:
  explicit Layout(std::vector<int32_t>& staged) : staged_(staged) { staged_.clear(); }
  size_t add(const std::vector<int32_t>& values) {
    const size_t at = staged_.size();
    staged_.insert(staged_.end(), values.begin(), values.end());
    staged_.resize((staged_.size() + kUnit - 1) / kUnit * kUnit);
    return at;
  }

 private:
  std::vector<int32_t>& staged_;
};

}  // namespace

StepInputs put_step_inputs(const ForwardInput& in, int page_size, std::vector<int32_t>& staged,
                           Workspace& workspace) {
  const std::vector<int32_t>* const arrays[] = {
      &in.ids,       &in.positions,   &in.slots,     &in.q_offsets, &in.kv_lengths, &in.page_table,
      &in.visual_at, &in.visual_rows, &in.sample_at, &in.draws,     &in.drawn_at,   &in.score_at};
  Layout layout(staged);
  size_t at[std::size(arrays)];
  for (size_t i = 0; i < std::size(arrays); ++i) at[i] = layout.add(*arrays[i]);
  const Tensor block = workspace.put(staged);
  Tensor parts[std::size(arrays)];
  for (size_t i = 0; i < std::size(arrays); ++i) {
    if (arrays[i]->empty()) continue;
    parts[i] = block.slice_rows(static_cast<int64_t>(at[i]), static_cast<int64_t>(arrays[i]->size()));
  }
  StepInputs inputs;
  inputs.ids = parts[0];
  inputs.positions = parts[1];
  inputs.slots = parts[2];
  const auto sequences = static_cast<int64_t>(in.kv_lengths.size());
  inputs.spans = {parts[3], parts[4], parts[5].reshaped({sequences, in.max_pages}), 0,
                  in.max_pages * page_size};
  for (size_t s = 0; s < in.kv_lengths.size(); ++s) {
    inputs.spans.max_q = std::max(inputs.spans.max_q, in.q_offsets[s + 1] - in.q_offsets[s]);
  }
  inputs.visual_at = parts[6];
  inputs.visual_rows = parts[7];
  inputs.sample_at = parts[8];
  if (!in.draws.empty()) inputs.draws = parts[9].reshaped({inputs.sample_at.rows(), kDrawWords});
  inputs.drawn_at = parts[10];
  inputs.score_at = parts[11];
  return inputs;
}

}  // namespace uhd
