// Turns the golden files of every model folder into test cases, and checks their logits.
#pragma once

#include <string>
#include <vector>

#include "tests/model/golden_run.h"

namespace uhd {

constexpr Tolerance kLogitsF32{1e-3};
constexpr Tolerance kLogitsBf16{0.8, 0.035};

struct ModelCase {
  std::filesystem::path folder;
  Golden golden;
  std::string name() const { return folder.filename().string() + "/" + golden.name; }
};

// Returns the tolerance of the logits in bf16: kLogitsBf16, or, where the reference's own noise in bf16 was
// measured and is greater, as much above it as that is above the noise of the first models (a factor of 1.8).
Tolerance logits_in_bf16(const ModelCase& c);

// Returns every golden file whose name begins so, for every folder that it holds for.
std::vector<ModelCase> model_cases(const std::string& prefix);

// Returns the first `kept` columns of rows of `width`: a layout may pad its vocabulary.
std::vector<float> first_columns(std::span<const float> rows, size_t width, size_t kept);

// Checks that the run's first logits are those of the case.
void expect_first_logits(const ModelCase& c, const GoldenModel& model, const RunResult& run,
                         const Tolerance& tolerance);

// Checks that the run chose the case's ids wherever the reference chose by a margin that bf16 cannot turn.
void expect_clear_ids(const ModelCase& c, const RunResult& run);

}  // namespace uhd
