#include "engine/llm/decode_graphs.h"

#include <algorithm>
#include <bit>

#include "kernels/draw.h"

namespace uhd {

DecodeGraphs::DecodeGraphs(Backend& backend, const Communicator& group, const StepLimits& limits,
                           int32_t spare_page)
    : backend_(backend),
      page_size_(limits.page_size),
      pages_((limits.max_context + limits.page_size - 1) / limits.page_size),
      spare_page_(spare_page) {
  if (group.recordable() && backend.record([] {}) != nullptr) max_sequences_ = limits.max_sequences;
}

std::vector<int> DecodeGraphs::batch_sizes(int max_sequences) {
  std::vector<int> sizes;
  for (int size = 1; size < max_sequences; size *= 2) sizes.push_back(size);
  sizes.push_back(max_sequences);
  return sizes;
}

int DecodeGraphs::batch_size(size_t sequences) const {
  return std::min(static_cast<int>(std::bit_ceil(sequences)), max_sequences_);
}

const ForwardInput* DecodeGraphs::padded(const ForwardInput& input) {
  const size_t sequences = input.kv_lengths.size();
  const bool decodes = input.ids.size() == sequences && input.sample_at.size() == sequences &&
                       input.visual_at.empty() && input.score_at.empty() &&
                       sequences <= static_cast<size_t>(max_sequences_);
  if (!decodes) return nullptr;
  const auto rows = static_cast<size_t>(batch_size(sequences));
  const auto width = static_cast<size_t>(pages_);
  padded_ = input;
  padded_.ids.resize(rows, 0);
  padded_.positions.resize(rows, 0);
  padded_.slots.resize(rows, spare_page_ * page_size_);
  padded_.kv_lengths.resize(rows, 1);
  padded_.drawn_at.resize(rows, -1);
  if (!input.draws.empty()) padded_.draws.resize(rows * kDrawWords, 0);  // the largest logit
  for (auto row = static_cast<int32_t>(sequences); row < static_cast<int32_t>(rows); ++row) {
    padded_.q_offsets.push_back(row + 1);
    padded_.sample_at.push_back(row);
  }
  padded_.max_pages = pages_;
  padded_.page_table.assign(rows * width, spare_page_);
  const auto used = static_cast<size_t>(input.max_pages);
  for (size_t s = 0; s < sequences; ++s) {
    std::copy_n(input.page_table.begin() + static_cast<std::ptrdiff_t>(s * used), std::min(used, width),
                padded_.page_table.begin() + static_cast<std::ptrdiff_t>(s * width));
  }
  return &padded_;
}

void DecodeGraphs::run(int64_t rows, int variant, const std::function<void()>& queue) {
  std::unique_ptr<Recording>& recording = recordings_[{rows, variant}];
  if (recording != nullptr) return recording->run();
  queue();
  recording = backend_.record(queue);
}

}  // namespace uhd
