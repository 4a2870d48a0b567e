// The one record of a visual span: prompt, scheduler, slices and steps speak of the same one.
#pragma once

#include <optional>
#include <vector>

#include "base/hash.h"

namespace uhd {

// The tokens [position, position + length) of a prompt are the rows of one piece of an image: a slice or the
// overview.
struct VisualSpan {
  int image = 0;  // of the request
  int piece = 0;  // of the image's plan (SlicePlan::piece)
  int position = 0;
  int length = 0;
  // Names what is seen there. Nothing before the image is cut, and nothing after the piece could not be
  // encoded.
  std::optional<Fingerprint> slice = std::nullopt;
  bool ready = false;  // its rows can be read in the next step

  bool operator==(const VisualSpan&) const = default;
};

// All spans of a prompt, by position.
using VisualSpans = std::vector<VisualSpan>;

}  // namespace uhd
