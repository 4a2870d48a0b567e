// A VisualSpan is the one record of a visual span: prompt, scheduler, slices and steps share it.
#pragma once

#include <optional>
#include <vector>

#include "base/hash.h"

namespace uhd {

// The tokens [position, position + length) of a prompt are the rows of one piece of an image: a slice or the
// overview.
struct VisualSpan {
  int image = 0;  // the image's number in the request
  int piece = 0;  // the piece's number in the image's plan (SlicePlan::piece)
  int position = 0;
  int length = 0;
  // Names the picture seen there. It is absent before the image is cut, and after the piece could not be
  // encoded.
  std::optional<Fingerprint> slice = std::nullopt;
  bool held = false;      // its rows are in the visual store, or on their way there
  bool left_out = false;  // its keys and values were kept when the image was cut, so that nobody encoded it
  bool ready = false;     // its rows can be read in the next step

  bool operator==(const VisualSpan&) const = default;
};

// Holds all spans of a prompt, ordered by position.
using VisualSpans = std::vector<VisualSpan>;

}  // namespace uhd
