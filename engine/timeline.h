// Says what happened to one request, as spans of time. Plain data.
#pragma once

#include <cstdint>

namespace uhd {

enum class Stage : uint8_t {
  read,      // the request came, from its first byte to its last
  lay_out,   // its body was read as JSON, its images' headers were looked at, its prompt was made
  queue,     // it waited until its first sequence was scheduled
  cut,       // an image was decoded, resized and cut
  cached,    // a moment: a slice, or its keys and values, was there already, or another request brings it
  wait,      // a slice waited for an encoder
  send,      // it went to its encoder, and waited there
  encode,    // it was encoded
  transfer,  // its rows came back
  prefill,   // one step of the language model, in which tokens of the prompt were computed
  decode,    // steps in a row, each of which drew one token of an answer
};

// Returns "read", "lay_out", ...
constexpr const char* name_of(Stage stage) {
  constexpr const char* kNames[] = {"read", "lay_out", "queue",    "cut",     "cached", "wait",
                                    "send", "encode",  "transfer", "prefill", "decode"};
  return kNames[static_cast<int>(stage)];
}

// Seconds count from the request's first byte; where it came without a socket, from when it was submitted.
// A number that the stage does not know is -1.
struct TimelineSpan {
  Stage stage = Stage::read;
  double begin = 0;
  double end = 0;
  int image = -1;    // its number in the request
  int slice = -1;    // its number in the image's plan, row by row; the overview is the last
  int encoder = -1;  // the leader's number for it; 0: the leader's own rank
  int answer = -1;
  int tokens = -1;
};

// A request has at most so many spans; those beyond are not told.
inline constexpr int kMostTimelineSpans = 4096;

}  // namespace uhd
