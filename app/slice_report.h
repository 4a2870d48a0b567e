// Writes the report of `uhd slices` about one image, for people and for programs.
#pragma once

#include <string>
#include <vector>

#include "model/config.h"
#include "model/vision/image.h"

namespace uhd {

struct SliceReport {
  std::string file;
  ImageHeader header;
  SlicePlan plan;
  ModelConfig model;                // slicing, resampler and layout are used
  std::vector<std::string> pieces;  // files written: the slices, then the overview; empty: none
  std::string contact_sheet;        // file written
};

// The facts of the contact sheet: size and grid, tokens, and what became of the picture's pixels.
std::vector<std::string> report_sentences(const SliceReport& report);

std::string report_text(const SliceReport& report);
std::string report_json(const SliceReport& report);  // one line

}  // namespace uhd
