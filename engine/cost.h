// The cost of requests, in seconds of each stage: predicted from what is planned, and
// corrected by what was measured.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

namespace uhd {

// Work is what a request asks of each stage.
struct Work {
  int64_t patches = 0;       // patches of the slices to encode
  int64_t prefill_rows = 0;  // tokens of the prompt
  int64_t decode_rows = 0;   // tokens of the answers

  Work& operator+=(const Work& other) {
    patches += other.patches;
    prefill_rows += other.prefill_rows;
    decode_rows += other.decode_rows;
    return *this;
  }
  Work& operator-=(const Work& other) {
    patches -= other.patches;
    prefill_rows -= other.prefill_rows;
    decode_rows -= other.decode_rows;
    return *this;
  }
};

// StageSeconds are of the device's time, as if the stages went one after another.
struct StageSeconds {
  double encode = 0;
  double prefill = 0;
  double decode = 0;
  double total() const { return encode + prefill + decode; }
};

// Returns true if the work could be done within so many seconds: its stages overlap, and predictions are
// rough, so that twice of what is there is allowed.
bool can_end_within(const StageSeconds& work, double seconds);

// Returns what the work costs by the seconds of a unit of each stage. `encoders` share the slices by their
// speeds; none counts as one.
StageSeconds price(const Work& work, const StageSeconds& units, int encoders);

// A CostModel knows one number for each stage: seconds per patch of an encoder of mean speed, per row of a
// prompt, and per decoded row. Each is a mean in which older measurements weigh less. Before a stage was
// measured, its number stands in a constant ratio to the others'.
//
// Encoders are measured one by one. LLM ranks are not, because a step ends when its slowest rank does, and
// that is what the leader measures.
//
// It neglects that attention grows with the length, that a row costs less in a larger step, and what caches
// save. So it compares requests well, and tells the time of one only roughly.
//
// A CostModel is not thread-safe.
class CostModel {
 public:
  // A step of both kinds of rows divides its time as was predicted. Times that are not positive numbers, and
  // steps of no rows, are ignored.
  void stepped(int64_t prefill_rows, int64_t decode_rows, double seconds);

  // The encoders are of such a mean speed of late (SliceEncoders::patch_seconds).
  void set_patch_seconds(double seconds) { patch_seconds_ = seconds; }

  // Returns true once a step with rows of a prompt was measured.
  bool measured() const { return rates_[kPrefill].measured; }
  // Returns true once any step was measured: short prompts tell of decoded rows alone.
  bool known() const { return rates_[kPrefill].measured || rates_[kDecode].measured; }
  // Returns true once an encoder was measured, too.
  bool measured_encoding() const { return patch_seconds_.has_value(); }
  // Returns the seconds of one patch, one row of a prompt and one decoded row.
  StageSeconds units() const;
  StageSeconds predict(const Work& work, int encoders = 1) const { return price(work, units(), encoders); }
  // Returns what a decoded row costs in rows of a prompt.
  double decode_in_prefill_rows() const { return rate(kDecode) / rate(kPrefill); }

 private:
  enum Stage : size_t { kPrefill, kDecode, kStages };  // stages of the language model
  struct Mean {
    double seconds = 0;
    bool measured = false;
  };
  double rate(Stage stage) const;
  void correct(Stage stage, double measured, double weight);

  std::array<Mean, kStages> rates_;
  std::optional<double> patch_seconds_;
};

}  // namespace uhd
