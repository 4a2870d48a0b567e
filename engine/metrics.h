// Counts the engine's work in counters and histograms, and writes them as Prometheus text. prometheus-cpp
// stays behind this header.
#pragma once

#include <memory>
#include <string>

#include "engine/request.h"

namespace uhd {

// Returns "stop", "length", ..., as metrics and logs name the reason.
std::string name_of(FinishReason reason);

// Gauges are read when the page is requested.
struct Gauges {
  int running = 0;
  int waiting = 0;
  int free_pages = 0;
  int total_pages = 0;
  int cached_pages = 0;
  int encoders = 0;
  int slices_queued = 0;
  double queued_seconds = 0;  // predicted for all that was accepted and has not ended
  double deepest_debt = 0;    // of a client, in rows of prompts
  bool ready = false;
};

// Metrics is thread-safe.
class Metrics {
 public:
  explicit Metrics(const std::string& model);
  ~Metrics();

  void accepted();
  void refused(const std::string& code);
  // Counts a request at its last event.
  void finished(FinishReason reason, const Usage& usage, const std::string& failure_code);
  void token_gap(double seconds);  // the time between two tokens of one request
  void step(int prefill_tokens, int decode_tokens, int sequences, double seconds);
  void preempted(int sequences);
  void prefix_cached(int tokens);  // of a prompt, that were not computed
  void slices(int encoded_anew, int cached);
  void slice_encoded(double seconds);  // the time from when it was first sent until its rows are here
  void slice_failed();
  void slices_retried(double count);
  void encoder_lost();

  std::string text(const Gauges& gauges) const;

 private:
  struct Series;
  std::unique_ptr<Series> series_;
};

}  // namespace uhd
