// Thousands of random runs of the scheduler against a shadow of the KV memory: what every step writes and
// reads is checked against who wrote it.
#include <gtest/gtest.h>

#include <deque>
#include <map>
#include <random>

#include "scheduler/policy.h"
#include "scheduler/scheduler.h"

namespace uhd {
namespace {

class RandomRun {
 public:
  // overlap: a step is planned and launched before the last one is complete.
  RandomRun(uint64_t seed, bool overlap) : random_(seed), overlap_(overlap) {
    options_.max_running = pick(1, 6);
    options_.max_waiting = pick(1, 10);
    options_.token_budget = options_.max_running + pick(0, 20);
    options_.page_size = pick(1, 8);
    options_.pages = pick(4, 30);
    scheduler_ = std::make_unique<Scheduler>(options_);
    memory_.resize(static_cast<size_t>(options_.pages * options_.page_size));
  }

  void run() {
    int to_arrive = pick(1, 20);
    for (int step = 0; step < 20000; ++step) {
      now_ += std::chrono::milliseconds(1);
      while (to_arrive > 0 && chance(0.4)) {
        arrive(static_cast<SequenceId>(to_arrive));
        --to_arrive;
      }
      outside_events();
      this->step();
      if (HasFailure()) return;
      if (to_arrive == 0 && under_way_.empty() && scheduler_->empty()) {
        EXPECT_EQ(scheduler_->pages().free(), options_.pages);
        EXPECT_TRUE(live_.empty());
        return;
      }
    }
    ADD_FAILURE() << "some request never ended";
  }

 private:
  struct Live {
    std::shared_ptr<VisualSpans> spans = std::make_shared<VisualSpans>();
    std::vector<int> unready;  // spans
    int written = 0;           // tokens in the shadow memory
    int length = 0;            // tokens that are known or drawn by steps under way
    int known = 0;
    int max_length = 0;
    uint64_t arrival = 0;
  };
  struct Cell {
    SequenceId owner = 0;
    int position = -1;
  };

  static bool HasFailure() { return ::testing::Test::HasFailure(); }
  int pick(int low, int high) { return std::uniform_int_distribution<int>(low, high)(random_); }
  bool chance(double p) { return std::bernoulli_distribution(p)(random_); }

  void arrive(SequenceId id) {
    SequenceSpec spec;
    spec.id = id;
    spec.prompt.assign(static_cast<size_t>(pick(1, 40)), 1);
    spec.max_tokens = pick(1, 20);
    const int length = static_cast<int>(spec.prompt.size());
    Live live;
    for (int at = pick(0, 8); at < length; at += pick(1, 10)) {
      const int n = std::min(pick(1, 6), length - at);
      live.unready.push_back(static_cast<int>(live.spans->size()));
      live.spans->push_back({.position = at, .length = n});
      at += n;
    }
    spec.spans = live.spans;
    if (chance(0.1)) spec.deadline = now_ + std::chrono::milliseconds(pick(0, 60));
    live.length = live.known = length;
    live.max_length = length + spec.max_tokens;
    live.arrival = arrivals_++;
    const bool fits = scheduler_->fits(live.max_length);
    const bool full = scheduler_->waiting() >= options_.max_waiting;
    const Admission admission = scheduler_->add(std::move(spec));
    EXPECT_EQ(admission, full ? Admission::queue_full : !fits ? Admission::too_long : Admission::queued);
    if (admission == Admission::queued) live_[id] = live;
  }

  void outside_events() {
    for (auto at = live_.begin(); at != live_.end();) {
      auto& [id, live] = *at;
      if (!live.unready.empty() && chance(0.3)) {
        const auto i = static_cast<size_t>(pick(0, static_cast<int>(live.unready.size()) - 1));
        live.spans->at(static_cast<size_t>(live.unready[i])).ready = true;
        live.unready.erase(live.unready.begin() + static_cast<std::ptrdiff_t>(i));
      }
      if (chance(0.005)) {
        scheduler_->finish(id);
        at = live_.erase(at);
      } else {
        ++at;
      }
    }
    scheduler_->check_integrity();
  }

  void step() {
    Batch batch = scheduler_->next(now_);
    for (SequenceId id : batch.expired) live_.erase(id);
    for (SequenceId id : batch.preempted) {
      // One that has ended may still hold pages, for its last step.
      if (live_.contains(id)) live_.at(id).written = 0;
    }
    EXPECT_LE(batch.tokens, options_.token_budget);
    EXPECT_LE(scheduler_->running(), options_.max_running);
    expect_decoding_first(batch);
    expect_no_idle_places(batch);
    for (const BatchItem& item : batch.items) compute(item);
    scheduler_->check_integrity();
    std::vector<SequenceId> cancelled;
    for (const BatchItem& item : batch.items) {
      if (chance(0.005)) cancelled.push_back(item.sequence->id);
    }
    for (SequenceId id : cancelled) {
      scheduler_->finish(id);
      live_.erase(id);
    }
    const bool planned = !batch.items.empty();
    if (planned) {
      scheduler_->launched(batch);
      under_way_.push_back(std::move(batch));
    }
    const size_t stay = overlap_ && planned && chance(0.8) ? 1 : 0;
    while (under_way_.size() > stay) complete_oldest();
  }

  void complete_oldest() {
    const Batch batch = std::move(under_way_.front());
    under_way_.pop_front();
    std::vector<SequenceId> sampled;
    for (const BatchItem& item : batch.items) {
      if (item.samples) sampled.push_back(item.sequence->id);
    }
    scheduler_->complete(batch, std::vector<int32_t>(sampled.size(), 1));
    for (SequenceId id : sampled) {
      const auto at = live_.find(id);
      if (at == live_.end()) continue;
      const auto known = static_cast<int>(scheduler_->find(id)->tokens.size());
      EXPECT_EQ(known, ++at->second.known);
      if (known == at->second.max_length || chance(0.02)) {
        scheduler_->finish(id);
        live_.erase(at);
      }
    }
    scheduler_->check_integrity();
  }

  static void expect_decoding_first(const Batch& batch) {
    bool prefilling = false;
    for (const BatchItem& item : batch.items) {
      if (item.sequence->decoding()) {
        EXPECT_FALSE(prefilling);
        EXPECT_EQ(item.count, 1);
      } else {
        prefilling = true;
      }
    }
  }

  // A place belongs to one that can use it, and a step that could do something does.
  void expect_no_idle_places(const Batch& batch) {
    bool could_run = false;
    for (const auto& [id, live] : live_) {
      const Sequence& s = *scheduler_->find(id);
      const bool runnable = runnable_tokens(s) > 0 && s.length() < s.max_length;
      if (s.phase == Phase::running) {
        EXPECT_GT(runnable_tokens(s), 0) << "request " << id << " waits in a place for a slice";
      }
      could_run = could_run || runnable;
    }
    if (under_way_.empty()) {
      EXPECT_EQ(batch.items.empty(), !could_run);
    }
  }

  Cell& cell(const Sequence& s, int position) {
    const PageRef& page = s.pages.at(static_cast<size_t>(position / options_.page_size));
    return memory_.at(static_cast<size_t>(page.page() * options_.page_size + position % options_.page_size));
  }

  void compute(const BatchItem& item) {
    const Sequence& s = *item.sequence;
    Live& live = live_.at(s.id);
    ASSERT_GT(item.count, 0);
    ASSERT_LE(item.first, live.written) << "tokens are computed in order";
    // Again, where a page was given away while the sequence waited for a slice.
    ASSERT_TRUE(item.first == live.written || (!s.spans->empty() && item.first % options_.page_size == 0));
    live.written = item.first;
    ASSERT_EQ(item.samples, item.first + item.count == live.length);
    for (const VisualSpan& span : *s.spans) {
      ASSERT_TRUE(span.ready || item.first + item.count <= span.position) << "a row was used before it came";
    }
    for (int p = 0; p < item.first; ++p) {
      ASSERT_EQ(cell(s, p).owner, s.id) << "another sequence wrote over token " << p;
      ASSERT_EQ(cell(s, p).position, p);
    }
    for (int p = item.first; p < item.first + item.count; ++p) cell(s, p) = {s.id, p};
    live.written += item.count;
    if (item.samples) ++live.length;
  }

  std::mt19937_64 random_;
  bool overlap_;
  std::deque<Batch> under_way_;
  SchedulerOptions options_;
  std::unique_ptr<Scheduler> scheduler_;
  std::vector<Cell> memory_;
  std::map<SequenceId, Live> live_;
  TimePoint now_{};
  uint64_t arrivals_ = 0;
};

class RandomSchedule : public ::testing::TestWithParam<bool> {};

TEST_P(RandomSchedule, KeepsItsInvariantsAndEndsEveryRequest) {
  for (uint64_t seed = 0; seed < 4000 && !HasFailure(); ++seed) {
    SCOPED_TRACE(seed);
    RandomRun(seed, GetParam()).run();
  }
}

INSTANTIATE_TEST_SUITE_P(Steps, RandomSchedule, ::testing::Bool(),
                         [](const auto& test) { return test.param ? "Overlapped" : "OneByOne"; });

}  // namespace
}  // namespace uhd
