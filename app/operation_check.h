// Checks every operation of a backend against the plain loops of the CPU, on small tensors of odd shapes.
#pragma once

#include <string>
#include <vector>

#include "kernels/backend.h"

namespace uhd {

struct OperationCheck {
  std::string operation;
  double error = 0;     // the largest |difference| / (1 + |value|); not a number if a result is none
  double allowed = 0;   // the rounding of the backend's activations allows it
  std::string failure;  // the operation threw
  bool holds() const { return failure.empty() && error <= allowed; }
};

// `reference` has f32 activations and forms products as `backend` does.
std::vector<OperationCheck> check_operations(Backend& backend, Backend& reference, WeightFormat compute);

}  // namespace uhd
