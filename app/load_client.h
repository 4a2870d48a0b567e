// Sends a trace to a server with OpenAI's chat API and measures what a client sees. One thread; every answer
// is streamed over a connection of its own.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "app/load_trace.h"

namespace uhd {

struct LoadTarget {
  std::string host, port;
  std::string prefix;      // the beginning of all paths: "/v1"
  std::string key;         // sent as a bearer token
  std::string beside_key;  // the key of sessions beside the others; empty: the same
  std::string model;       // empty: the first that the server lists
  bool ignore_eos = false;
  double timeout_s = 600;  // the time limit of one answer
};

// Reads "http://host:port/v1". Another scheme is an Error: a TLS server needs a proxy in front.
LoadTarget parse_target(const std::string& url);

// One turn as the client saw it. Times are seconds from the start of the run; a request is sent before its
// connection is made.
struct TurnResult {
  int session = 0;
  int turn = 0;
  int pictures = 0;
  bool beside = false;
  double sent_s = 0;
  double first_s = 0;  // the first piece of text or thought
  double done_s = 0;
  std::vector<double> gaps_s;  // the times between pieces
  int64_t prompt_tokens = 0;   // the count that the server tells
  int64_t cached_tokens = 0;   // cached tokens of the prompt, where the server tells them
  int64_t answer_tokens = 0;
  std::string error;  // its kind, for example "connect", "timeout", "http 429", "broken"; empty: none
  std::string detail;

  bool ok() const { return error.empty(); }
  double first_token_s() const { return first_s - sent_s; }
  double total_s() const { return done_s - sent_s; }
  // The time of a token after the first; 0 where there is none.
  double token_s() const {
    return answer_tokens > 1 ? (done_s - first_s) / static_cast<double>(answer_tokens - 1) : 0;
  }
};

struct LoadRun {
  double seconds = 0;
  std::vector<TurnResult> turns;  // all turns, in the order in which they ended
  std::vector<LoadSession> sent;  // the trace, at the times at which sessions began
};

// Open loop: sessions begin when the trace says, whatever the server does. Closed loop, if `streams` is above
// 0: so many at once, each session after another. `progress` hears after each turn how many have ended.
// Sessions beside the others are not begun any more when those have ended, and an answer of theirs that is
// under way then ends with its next piece.
// Throws an Error if the server cannot be reached before the run.
LoadRun run_load(LoadTarget target, std::vector<LoadSession> trace, int streams,
                 const std::function<void(size_t)>& progress);

}  // namespace uhd
