// The prompt of one request: token ids, with spans where visual tokens take the place of ids.
#pragma once

#include <cstdint>
#include <vector>

namespace uhd {

inline constexpr int32_t kVisualToken = -1;  // the id inside a visual span

// Rows [position, position + length) of the prompt are piece `piece` of image `image`.
struct VisualSpan {
  int image = 0;
  int piece = 0;  // SlicePlan::piece
  int position = 0;
  int length = 0;
};

struct Prompt {
  std::vector<int32_t> ids;
  std::vector<VisualSpan> spans;  // by position
};

}  // namespace uhd
