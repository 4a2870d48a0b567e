// Decides which ranks are lost: pure state machines over events and given times. Threads, sockets and clocks
// are elsewhere.
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
  // After so many overdue jobs in a row, without an answer between, an encoder must say Hello again.
  int strikes = 2;
};

// EncoderLiveness is the leader's view of its encoders. It is fed with the control channel's events at the
// times they happened, and asked with tick(now), which reports each thing once.
//
// An encoder does its jobs in order, and may do the next ones together with its oldest. So only its oldest
// job can be overdue. That job's time counts from when it was sent or became the oldest, because until then
// it may have waited for others. When it is encoded, its rows wait for the leader; they have a new deadline
// from when they are fetched, because before that the encoder may have no memory to go on with. An overdue
// job counts once, however much waits behind it.
class EncoderLiveness {
 public:
  using Encoder = uint32_t;
  using Job = uint64_t;

  explicit EncoderLiveness(LivenessLimits limits) : limits_(limits) {}

  void joined(Encoder encoder, TimePoint at);
  void heard(Encoder encoder, TimePoint at);  // any message counts
  void left(Encoder encoder);
  void job_sent(Encoder encoder, Job job, TimePoint at);
  // Jobs are numbered in the order in which they are sent.
  void job_encoded(Encoder encoder, Job job, TimePoint at);
  void fetch_begun(Encoder encoder, Job job, TimePoint at);
  // Call this when the rows have arrived or the encoder said that the job failed.
  void job_answered(Encoder encoder, Job job, TimePoint at);
  // Nobody wants the job any more, which tells nothing of its encoder.
  void job_dropped(Encoder encoder, Job job, TimePoint at);

  struct Overdue {
    Encoder encoder = 0;
    Job job = 0;
    bool operator==(const Overdue&) const = default;
  };
  struct Verdict {
    std::vector<Overdue> overdue;  // cancel them there, retry elsewhere; at most one of each encoder
    std::vector<Encoder> lost;     // quiet for too long: close them; they are forgotten here
    std::vector<Encoder> stuck;    // too many overdue in a row: close them; they are forgotten here
    bool empty() const { return overdue.empty() && lost.empty() && stuck.empty(); }
  };
  Verdict tick(TimePoint now);

  // Returns the next time at which tick() may have something to report.
  std::optional<TimePoint> next_deadline() const;
  size_t encoders() const { return peers_.size(); }

 private:
  // A Line holds jobs that are done one after another.
  struct Line {
    std::set<Job> jobs;
    TimePoint begun;  // the earliest time at which the oldest of them can have been begun
    void add(Job job, TimePoint at);
    bool drop(Job job, TimePoint at);  // returns true if it was there
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

// StepLiveness watches the LLM ranks as one: a step that does not end in time means that one of them is
// stuck. It also answers whether a real step was finished recently, for readiness.
//
// A step's time is counted from tick to tick, and a tick that comes much too late counts as one that was in
// time: while the whole process stands still (stopped, swapped out, its machine paused) no step gets older.
class StepLiveness {
 public:
  explicit StepLiveness(Duration deadline);
  void started(uint64_t step, TimePoint at);
  void finished(TimePoint at);
  // Returns the step that is overdue, once.
  std::optional<uint64_t> tick(TimePoint now);
  // Returns when to tick next, or nothing while no step runs.
  std::optional<TimePoint> next_tick() const;
  std::optional<TimePoint> last_finished() const { return last_finished_; }

 private:
  Duration deadline_;
  Duration interval_;  // the time between two ticks
  uint64_t step_ = 0;
  bool running_ = false;
  TimePoint looked_;  // the last look at the running step; first set when it started
  Duration age_{};    // the age counted so far
  std::optional<TimePoint> last_finished_;
};

}  // namespace uhd
