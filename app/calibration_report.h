// Holds what `uhd calibrate` has measured, and writes it for the planner and for programs.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "app/link_times.h"
#include "plan/machine.h"

namespace uhd {

// A product of so many rows and weights of 4096 x 4096.
struct MeasuredProduct {
  int64_t rows = 0;
  double measured_s = 0;
  double expected_s = 0;  // the larger of the times that both rates give
  double residual() const { return measured_s / expected_s - 1; }
};

struct Calibration {
  Machine machine;
  std::string backend;
  std::vector<MeasuredProduct> products;
  LinkTimes links;
  double decode_s = 0;  // seconds that one thread takes to decode a PNG of 3 megapixels
};

// Returns the file that `uhd plan --machine` takes, with products and links as comments.
std::string calibration_yaml(const Calibration& found);

// Returns one line.
std::string calibration_json(const Calibration& found);

}  // namespace uhd
