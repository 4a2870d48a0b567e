// Computes the figures that the LLaVA-UHD paper (arXiv 2403.11703) claims, by this program's own plans and
// cost model. Nothing is quoted but the column of what was published.
#pragma once

#include <string>
#include <vector>

namespace uhd {

struct PaperClaim {
  std::string claim;
  std::string published;   // the paper's words; empty: it is of the released form, or of the plans alone
  std::string ours;        // the figure with its unit
  std::string derivation;  // the way to it, with the numbers that go in
  double figure = 0;       // the figure of `ours`, for programs and tests
};

std::vector<PaperClaim> paper_claims();

// Returns the share of LLaVA-1.5's square that holds no pixel of a picture of this shape.
double padded_share(double width, double height);

}  // namespace uhd
