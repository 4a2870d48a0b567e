// Computes from a golden model's weights how quantization changes the model.
#pragma once

#include <filesystem>

#include "tests/model/golden_model.h"

namespace uhd {

// Returns a bound of the relative RMS difference between the logits of the model with and without quantized
// matrices: twice e √(1 + 4 layers), where e is the relative RMS error of the matrices' codes. One product
// passes on the relative error of its weights. The errors of the up to four successive products of each layer
// and of the head are independent, so their squares add. The factor two allows for softmax and gates.
double logits_bound(const GoldenModel& model, WeightFormat format);

// Writes a model folder into `into`, which is empty, that holds the same model with every matrix as its codes
// stand for it, in f32. The model must not be tied, because the table stays as it is.
std::filesystem::path write_dequantized(const std::filesystem::path& folder, WeightFormat format,
                                        const std::filesystem::path& into);

}  // namespace uhd
