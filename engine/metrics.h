// Counts the engine's work in counters and histograms, and writes them as Prometheus text. prometheus-cpp
// stays behind this header.
#pragma once

#include <memory>
#include <string>

#include "engine/encoder_state.h"
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
  double deepest_debt = 0;    // the deepest debt of a client, in rows of prompts
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
  void prefix(int cached, int computed);  // tokens of a prompt
  void prefix_evicted(int64_t tokens);    // their pages were needed for something else
  // A slice of so many rows was wanted: an LLM rank had it, or will have it, or it must be encoded.
  void slice_wanted(bool cached, int rows);
  void slice_left_out(int rows);  // its keys and values are kept, and nobody had its rows
  void slice_evicted(int rows);   // the ranks' stores gave up a slice of so many rows
  void kept_slice_evicted();      // host memory gave up a slice
  void image_cut_again();         // keys and values of slices that were left out are lost
  // Sequences that decode waited so long for encoding, in one turn of the loop.
  void picture_gap(double seconds);
  void key_cost(const std::string& key, double seconds);  // measured work
  void key_debt(const std::string& key, double rows);
  void slice_encoded(double seconds);  // the time from when it was first sent until its rows are here
  void slice_failed();
  void slice_kept();
  void slice_transferred(double seconds);   // the time from when an encoder had its rows until they are here
  void encoder(const EncoderState& state);  // the present state of an encoder
  void encoder_gone(uint32_t encoder);      // its series end
  void collectives(double seconds);         // more time of the leader in collectives of the LLM ranks
  void slices_retried(double count);
  void encoder_lost();
  void llm_ranks(int count);  // the ranks that share the language model

  std::string text(const Gauges& gauges) const;

 private:
  struct Series;
  std::unique_ptr<Series> series_;
};

}  // namespace uhd
