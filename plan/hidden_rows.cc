#include "plan/hidden_rows.h"

#include <limits>
#include <vector>

#include "base/error.h"
#include "plan/step_cost.h"

namespace uhd {

HiddenRows hidden_prefill_rows(const LanguageConfig& language, std::span<const AttentionSpan> decoding,
                               int ranks, WeightFormat weights, const DeviceRoof& device) {
  constexpr int kBlock = 8, kMost = 16384;
  check(!decoding.empty(), "a step that decodes nothing hides nothing");
  DeviceRoof products = device;  // that waits for no memory
  products.memory_speed = std::numeric_limits<double>::infinity();
  std::vector<AttentionSpan> spans(decoding.begin(), decoding.end());
  const auto samples = static_cast<int>(spans.size()) + 1;
  const auto seconds = [&](const DeviceRoof& on) {
    return step_roof(language, spans, samples, ranks, weights, on).seconds;
  };
  HiddenRows hidden{.step_s = step_roof(language, decoding, samples - 1, ranks, weights, device).seconds};
  hidden.with_rows_s = hidden.step_s;
  spans.push_back({kBlock, kBlock});
  double whole = seconds(device), computing = seconds(products);
  while (hidden.rows + kBlock <= kMost) {
    // The first block is judged by the second: it brings the prompt's sample along.
    const int64_t rows = spans.back().queries + kBlock;
    spans.back() = {rows, rows};
    const double next_whole = seconds(device), next_computing = seconds(products);
    if (next_whole - whole >= (next_computing - computing) / 2) break;
    hidden.rows = static_cast<int>(rows);
    hidden.with_rows_s = whole = next_whole;
    computing = next_computing;
  }
  return hidden;
}

}  // namespace uhd
