// Fakes encoders whose work is done when the test says so: `jobs` are the slices that were asked for, `ended`
// those that the next poll returns, `kept` those whose rows they claim to have.
#pragma once

#include <set>
#include <utility>
#include <vector>

#include "engine/slices/slice_encoders.h"

namespace uhd {

class FakeEncoders final : public SliceEncoders {
 public:
  void add(SliceJob job, TimePoint) override { jobs.push_back(std::move(job)); }
  bool cancel(const Fingerprint& fingerprint) override {
    if (started.contains(fingerprint)) return false;
    return std::erase_if(jobs, [&](const SliceJob& j) { return j.slice->fingerprint == fingerprint; }) > 0;
  }
  void hasten(const Fingerprint& fingerprint, const Urgency& urgency) override {
    for (SliceJob& job : jobs) {
      if (job.slice->fingerprint == fingerprint) job.urgency = urgency;
    }
  }
  std::vector<EncodedSlice> poll(TimePoint, const EncodingTurn&) override { return std::exchange(ended, {}); }
  std::optional<TimePoint> next_poll(TimePoint) const override { return std::nullopt; }
  bool keeps(const Fingerprint& slice) const override { return kept.contains(slice); }
  int encoders() const override { return 1; }
  int queued() const override { return static_cast<int>(jobs.size()); }

  std::vector<SliceJob> jobs;
  std::set<Fingerprint> started, kept;
  std::vector<EncodedSlice> ended;
};

}  // namespace uhd
