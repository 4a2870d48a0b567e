// Sums up what a load run measured, for people, for programs and as pictures. Times are defined as in vLLM's
// `vllm bench serve` and in GuideLLM: the first token from sending on, a token's time by the count of tokens,
// gaps between pieces.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "app/load_client.h"

namespace uhd {

// An answer is good if it meets all of these; infinite: none is set.
struct LoadObjective {
  double first_token_s;
  double token_s;
};

struct LoadSpread {
  double mean = 0, p50 = 0, p90 = 0, p95 = 0, p99 = 0, most = 0;
};
// Returns the spread of the values, whose percentiles lie on straight lines between neighbours; zeros if
// there are none.
LoadSpread spread_of(std::vector<double> values);

// Answers of sessions beside the others, which show what those did to them.
struct BesideSummary {
  int turns = 0;  // turns that were sent in this time
  std::map<std::string, int> errors;
  LoadSpread first_token_s;  // times to the first tokens of those turns
  LoadSpread gap_s;          // gaps before all pieces that came in this time
};

struct LoadSummary {
  double seconds = 0;
  int turns = 0, answered = 0, good = 0;
  int64_t prompt_tokens = 0, answer_tokens = 0;
  LoadSpread first_token_s, token_s, gap_s, total_s;  // spreads over the answered turns
  std::map<std::string, int> errors;                  // the number of errors of each kind
  std::vector<BesideSummary> beside;  // two, before the other sessions and among them; or none

  double per_second(double count) const { return seconds > 0 ? count / seconds : 0; }
};
LoadSummary summary_of(const LoadRun& run, const LoadObjective& objective);

std::string load_text(const LoadSummary& summary, const LoadObjective& objective);
std::string load_json(const LoadSummary& summary, const LoadObjective& objective);  // one line
std::string load_csv(const LoadRun& run);      // a line for each turn, under a line of names
std::string load_picture(const LoadRun& run);  // SVG

}  // namespace uhd
