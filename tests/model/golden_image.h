// Cuts the pictures of a golden_image_* file as the model does, and makes the prompt with their visual
// tokens.
#pragma once

#include "model/vision/slicer.h"
#include "model/vision/vision_encoder.h"
#include "tests/model/golden_run.h"

namespace uhd {

// A GoldenPiece is one of all pieces of all pictures, for each picture the slices row by row and then the
// overview. The file's tensor names and layout use `golden_index`: the order in which pieces stand in the
// prompt.
struct GoldenPiece {
  // "slice0", "overview"; "0", "1", ... if the file counts pieces; "" for one whole picture.
  std::string name;
  Slice slice;
};

// Returns the pieces in the order in which they stand in the prompt.
std::vector<GoldenPiece> cut_golden_images(const GoldenModel& model, const Golden& golden);

// Returns the prompt with `rows` (all pieces' visual tokens, in prompt order) at the places that the file
// says.
EmbeddedPrompt golden_prompt(const GoldenModel& model, const Golden& golden, std::vector<float> rows);

std::vector<SliceView> views_of(const std::vector<GoldenPiece>& pieces);

// A PieceResult holds the tower's features and the compression layer's tokens of one piece.
struct PieceResult {
  std::vector<float> features;
  std::vector<float> tokens;
};
PieceResult run_piece(Backend& backend, WeightFormat format, const GoldenModel& model, const Slice& slice);

}  // namespace uhd
