// Who is lost: pure state machines over events and given times. Threads, sockets and clocks are elsewhere.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/clock.h"

namespace uhd {

struct LivenessLimits {
  Duration lost_after = from_seconds(5);
  Duration job_deadline = from_seconds(60);
  // Overdue jobs in a row, without an answer between, after which an encoder must say Hello again.
  int strikes = 2;
};

// The leader's view of its encoders. Fed with the control channel's events at the times they happened; asked
// with tick(now), which reports each thing once.
//
// An encoder does its jobs in order, save that it may do later ones of equal shape together with its oldest.
// So only its oldest job can be overdue: from when it was sent or became the oldest, for until then it may
// have waited for others. When it is encoded, its rows wait for the leader, and have a deadline anew from
// when they are fetched; before that the encoder may have no memory to go on with. What is overdue counts
// once, however much waits behind it.
class EncoderLiveness {
 public:
  using Encoder = uint32_t;
  using Job = uint64_t;

  explicit EncoderLiveness(LivenessLimits limits) : limits_(limits) {}

  void joined(Encoder encoder, TimePoint at);
  void heard(Encoder encoder, TimePoint at);  // any message
  void left(Encoder encoder);
  void job_sent(Encoder encoder, Job job, TimePoint at);
  // Jobs are numbered in the order in which they are sent.
  void job_encoded(Encoder encoder, Job job, TimePoint at);
  void fetch_begun(Encoder encoder, Job job, TimePoint at);
  // Its rows have arrived, or the encoder said that it failed.
  void job_answered(Encoder encoder, Job job, TimePoint at);

  struct Overdue {
    Encoder encoder = 0;
    Job job = 0;
    bool operator==(const Overdue&) const = default;
  };
  struct Verdict {
    std::vector<Overdue> overdue;  // cancel there, retry elsewhere; at most one of each encoder
    std::vector<Encoder> lost;     // quiet for too long: close; forgotten here
    std::vector<Encoder> stuck;    // too many overdue in a row: close; forgotten here
    bool empty() const { return overdue.empty() && lost.empty() && stuck.empty(); }
  };
  Verdict tick(TimePoint now);

  // The next time at which tick() may have something to say.
  std::optional<TimePoint> next_deadline() const;
  size_t encoders() const { return peers_.size(); }

 private:
  // Jobs that are done one after another.
  struct Line {
    std::set<Job> jobs;
    TimePoint begun;  // when the oldest of them can have been begun
    void add(Job job, TimePoint at);
    bool drop(Job job, TimePoint at);  // true: it was there
  };
  struct Peer {
    TimePoint heard;
    int strikes = 0;
    Line encoding;
    std::set<Job> announced;  // encoded, and the leader has not begun to fetch them
    Line fetching;
    bool drop(Job job, TimePoint at);
    std::optional<Job> late(TimePoint now, Duration deadline) const;
  };
  LivenessLimits limits_;
  std::map<Encoder, Peer> peers_;
};

// The LLM ranks as one: a step that does not end in time means that one of them is stuck. Also answers
// whether a real step was finished recently, for readiness.
//
// A step's time is counted from tick to tick, and a tick that comes much too late counts as one that was in
// time: while the whole process stands still (stopped, swapped out, its machine paused) no step gets older.
class StepLiveness {
 public:
  explicit StepLiveness(Duration deadline);
  void started(uint64_t step, TimePoint at);
  void finished(TimePoint at);
  // The step that is overdue, once.
  std::optional<uint64_t> tick(TimePoint now);
  // When to tick next; nothing while no step runs.
  std::optional<TimePoint> next_tick() const;
  std::optional<TimePoint> last_finished() const { return last_finished_; }

 private:
  Duration deadline_;
  Duration interval_;  // between two ticks
  uint64_t step_ = 0;
  bool running_ = false;
  TimePoint looked_;  // at the running step, first when it started
  Duration age_{};    // that was counted
  std::optional<TimePoint> last_finished_;
};

}  // namespace uhd
