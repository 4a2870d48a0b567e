// The words that the prompt puts between the pieces of an image and around them, as people can read them.
#pragma once

#include <string>
#include <vector>

#include "model/config.h"
#include "model/vision/slice_plan.h"

namespace uhd {

// A newline is written as "↵"; a token without text as its number ("#7"); a long one ends in "…". A place
// without tokens is empty.
struct LayoutWords {
  std::string between_columns;  // stands after a slice that is not the last of its row
  std::string after_row;
  std::string after_last_row;
  std::vector<std::string> before_slice;  // one text for each slice, row by row
  std::string after_slice;
  std::string before_overview, after_overview;
};

// Returns the words for an image with this plan. The checkpoint's tokenizer turns ids into text; for a model
// without a directory ids are characters. A tokenizer that cannot be read is an Error.
LayoutWords layout_words(const SlicePlan& plan, const ModelConfig& model);

}  // namespace uhd
