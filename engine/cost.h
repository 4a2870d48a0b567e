// The cost of requests to the language model, in seconds of each stage: predicted from what is planned, and
// corrected by what was measured.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace uhd {

// Work is what a request asks of each stage.
struct Work {
  int64_t prefill_rows = 0;  // tokens of the prompt
  int64_t decode_rows = 0;   // tokens of the answers

  Work& operator+=(const Work& other) {
    prefill_rows += other.prefill_rows;
    decode_rows += other.decode_rows;
    return *this;
  }
  Work& operator-=(const Work& other) {
    prefill_rows -= other.prefill_rows;
    decode_rows -= other.decode_rows;
    return *this;
  }
};

// StageSeconds are of the device's time, as if the stages went one after another.
struct StageSeconds {
  double prefill = 0;
  double decode = 0;
  double total() const { return prefill + decode; }
};

// A CostModel knows one number for each stage: seconds per row of a prompt, and per decoded row. Each is an
// exponential mean. Before a stage was measured, its number stands in a constant ratio to the other's.
//
// It neglects the encoding of images, that attention grows with the length, that a row costs less in a larger
// step, and what caches save. So it compares requests well, and
// tells the time of one only roughly.
//
// A CostModel is not thread-safe.
class CostModel {
 public:
  // A step of both kinds of rows divides its time as was predicted. Times that are not positive numbers, and
  // steps of no rows, are ignored.
  void stepped(int64_t prefill_rows, int64_t decode_rows, double seconds);

  StageSeconds predict(const Work& work) const;
  // Returns what a decoded row costs in rows of a prompt.
  double decode_in_prefill_rows() const { return rate(kDecode) / rate(kPrefill); }

 private:
  enum Stage : size_t { kPrefill, kDecode, kStages };
  struct Rate {
    double seconds = 0;
    bool measured = false;
  };
  double rate(Stage stage) const;
  void correct(Stage stage, double measured, double weight);

  std::array<Rate, kStages> rates_;
};

}  // namespace uhd
