// Makes the visual spans of a prompt as tests write them.
#pragma once

#include <initializer_list>
#include <memory>
#include <utility>

#include "base/visual_span.h"

namespace uhd {

// Returns one span for each (position, length): the pieces of one image, none of them ready.
inline std::shared_ptr<VisualSpans> spans_at(std::initializer_list<std::pair<int, int>> places) {
  auto spans = std::make_shared<VisualSpans>();
  for (const auto& [position, length] : places) {
    spans->push_back({0, static_cast<int>(spans->size()), position, length});
  }
  return spans;
}

}  // namespace uhd
