// Draws the contact sheet of one image: every piece as the model sees it, slices in their places with the
// prompt's words between them, and the overview, all in one scale.
#pragma once

#include <string>
#include <vector>

#include "app/layout_words.h"
#include "model/config.h"
#include "model/vision/image.h"
#include "model/vision/slice_plan.h"

namespace uhd {

struct ContactSheet {
  std::string title;
  std::vector<std::string> facts;  // paragraphs below the title
  LayoutWords words;
};

// `pieces` are those of the plan: the slices, then the overview. They are drawn pixel by pixel if they fit
// into about 2000 pixels, else smaller; tiny ones are enlarged. A ruler shows how long some pixels of the
// picture have become.
Image draw_contact_sheet(const std::vector<Image>& pieces, const SlicePlan& plan, const ModelConfig& model,
                         const ContactSheet& sheet);

}  // namespace uhd
