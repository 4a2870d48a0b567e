// Random runs of the pool with encoders that do their jobs in order, and messages that take their time both
// ways: slices are cancelled at any moment, and wanted again.
#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <map>
#include <random>

#include "engine/slices/encoder_pool.h"

namespace uhd {
namespace {

// An EncoderTwin does what EncoderWorker does with its messages; a pass takes one slice or two.
class EncoderTwin {
 public:
  struct Job {
    JobId id = 0;
    Fingerprint slice;
    bool cancelled = false;  // a message that cancels, not one that asks
  };
  std::deque<Job> told;    // on the way to it
  std::deque<JobId> says;  // on the way from it: the rows of these are ready

  void hear() {
    if (pass_ > 0 || told.empty()) return;
    const Job job = told.front();
    told.pop_front();
    if (!job.cancelled) return queue_.push_back(job);
    std::erase_if(queue_, [&](const Job& own) { return own.id == job.id; });
    rows_.erase(job.id);
  }
  void begin(size_t slices) {
    if (pass_ == 0) pass_ = std::min(slices, queue_.size());
  }
  void end_pass() {
    for (; pass_ > 0; --pass_) {
      rows_[queue_.front().id] = queue_.front().slice;
      says.push_back(queue_.front().id);
      queue_.pop_front();
    }
  }
  Fingerprint give(JobId id) {
    const Fingerprint slice = rows_.at(id);
    rows_.erase(id);
    return slice;
  }
  bool at_rest() const { return told.empty() && says.empty() && queue_.empty() && rows_.empty(); }

 private:
  std::deque<Job> queue_;
  std::map<JobId, Fingerprint> rows_;
  size_t pass_ = 0;  // so many of its queue are encoded now
};

class CancelRun {
 public:
  explicit CancelRun(uint64_t seed) : random_(seed) {
    for (EncoderId id = 1; id <= 3; ++id) {
      pool_.joined(id, 4, now_);
      encoders_[id];
    }
  }

  void run() {
    for (int i = 0; i < 400; ++i) {
      want();
      cancel();
      advance();
    }
    for (int i = 0; i < 10000 && !at_rest(); ++i) advance();
    EXPECT_TRUE(at_rest()) << "rows that nobody frees, or slices that nobody encodes";
    EXPECT_TRUE(wanted_.empty()) << "slices that never ended";
    EXPECT_EQ(pool_.retries(), 0);
    for (const EncoderState& state : pool_.states(now_)) EXPECT_EQ(state.slices, 0);
  }

  int taken_back() const { return taken_back_; }  // slices, from encoders
  int too_late() const { return too_late_; }      // answers that nobody waited for

 private:
  bool chance(double p) { return std::bernoulli_distribution(p)(random_); }
  Fingerprint any_slice() { return {std::uniform_int_distribution<uint64_t>(1, 12)(random_), 0}; }

  void want() {
    const Fingerprint name = any_slice();
    if (chance(0.5) || !wanted_.insert(name).second) return;
    auto slice = std::make_shared<Slice>();
    slice->fingerprint = name;
    pool_.add({slice, 4, 100}, now_);
  }

  void cancel() {
    const Fingerprint name = any_slice();
    if (chance(0.7) || !wanted_.contains(name)) return;
    const size_t queued = pool_.queued();
    if (!pool_.cancel(name, now_)) return;
    wanted_.erase(name);
    if (pool_.queued() == queued) ++taken_back_;
  }

  void advance() {
    now_ += from_seconds(0.01);
    for (const auto& [encoder, job] : pool_.tick(now_).cancel) tell_cancelled(encoder, job);
    for (const auto& send : pool_.dispatch(now_)) {
      encoders_.at(send.encoder).told.push_back({.id = send.job, .slice = send.slice->fingerprint});
    }
    for (auto& [id, encoder] : encoders_) {
      if (chance(0.5)) encoder.hear();
      if (chance(0.3)) encoder.begin(chance(0.5) ? 1 : 2);
      if (chance(0.3)) encoder.end_pass();
      if (!encoder.says.empty() && chance(0.5)) hear(id, encoder);
      if (!announced_[id].empty() && chance(0.3)) fetch(id, encoder);
    }
    for (const auto& outcome : pool_.take_outcomes()) {
      EXPECT_TRUE(outcome.ok);
      EXPECT_EQ(wanted_.erase(outcome.fingerprint), 1u) << "it was cancelled, or ended before";
    }
  }

  void tell_cancelled(EncoderId encoder, JobId job) {
    encoders_.at(encoder).told.push_back({.id = job, .cancelled = true});
  }

  void hear(EncoderId id, EncoderTwin& encoder) {
    const JobId job = encoder.says.front();
    encoder.says.pop_front();
    if (pool_.encoded(id, job, now_)) return announced_[id].push_back(job);
    ++too_late_;
    tell_cancelled(id, job);
  }

  void fetch(EncoderId id, EncoderTwin& encoder) {
    const JobId job = announced_[id].front();
    announced_[id].pop_front();
    if (!pool_.awaits(id, job)) return;
    pool_.fetch_begun(id, job, now_);
    const Fingerprint slice = encoder.give(job);
    EXPECT_EQ(pool_.cancel(slice, now_), false) << "its rows are on their way";
    pool_.received(id, job, now_);
    EXPECT_TRUE(wanted_.contains(slice));
  }

  bool at_rest() const {
    return pool_.queued() == 0 &&
           std::ranges::all_of(encoders_, [](const auto& entry) { return entry.second.at_rest(); });
  }

  std::mt19937_64 random_;
  TimePoint now_{};
  EncoderPool pool_{{.liveness = {.lost_after = from_seconds(1e6), .job_deadline = from_seconds(1e6)}}};
  std::map<EncoderId, EncoderTwin> encoders_;
  std::map<EncoderId, std::deque<JobId>> announced_;  // rows that wait for the leader
  std::set<Fingerprint> wanted_;                      // slices that are to end
  int taken_back_ = 0;
  int too_late_ = 0;
};

TEST(CancelledSlices, AreTakenBackOrEndWhereverTheyAre) {
  int taken_back = 0, too_late = 0;
  for (uint64_t seed = 0; seed < 300 && !::testing::Test::HasFailure(); ++seed) {
    SCOPED_TRACE(seed);
    CancelRun run(seed);
    run.run();
    taken_back += run.taken_back();
    too_late += run.too_late();
  }
  EXPECT_GT(taken_back, 1000);
  EXPECT_GT(too_late, 100);
}

}  // namespace
}  // namespace uhd
