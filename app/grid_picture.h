// Draws the picture that shows how an image is cut.
#pragma once

#include "model/vision/image.h"
#include "model/vision/slice_plan.h"

namespace uhd {

// Returns `image` with the plan's grid drawn over it: black lines within white ones, visible on any ground,
// and the number of each slice in its corner. An image without slices is left as it is.
Image draw_grid(Image image, const SlicePlan& plan);

}  // namespace uhd
