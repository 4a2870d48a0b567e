// What quantization does to a model of the goldens, reckoned from its weights.
#pragma once

#include <filesystem>

#include "tests/model/golden_model.h"

namespace uhd {

// A bound of the relative RMS difference between the logits of the model with quantized matrices and without:
// twice e √(1 + 4 layers), where e is what the codes leave out of the matrices, relative, in RMS. One product
// passes on the relative error of its weights, the errors of the up to four products of each layer that
// follow one another and of the head are independent, so their squares add; the two is for what softmax and
// gates make of it.
double logits_bound(const GoldenModel& model, WeightFormat format);

// Writes a model folder that holds the same model with every matrix as its codes stand for it, in f32, into
// `into`, which is empty. The model must not be tied, since the table stays as it is.
std::filesystem::path write_dequantized(const std::filesystem::path& folder, WeightFormat format,
                                        const std::filesystem::path& into);

}  // namespace uhd
