// Thousands of random runs of the scheduler against a shadow of the KV memory. Each cell holds a fingerprint
// of all that its token depends on (whose it is, and every token and slice up to it), and every step checks
// what it reads: a page that was shared wrongly, or written over, is found wherever it is read.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <deque>
#include <map>
#include <random>
#include <set>
#include <utility>

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
    scheduler_->set_decode_cost(pick(1, 9));
    memory_.resize(static_cast<size_t>(options_.pages * options_.page_size));
  }

  int shared() const { return shared_; }
  int copied() const { return copied_; }
  int steps() const { return steps_; }
  int scored() const { return scored_; }
  int64_t evictions() const { return scheduler_->pages().evictions(); }
  bool looked_up() const { return looked_up_; }

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
        expect_kept_pages_to_be_found();
        return;
      }
    }
    ADD_FAILURE() << "some request never ended";
  }

 private:
  struct Live {
    std::shared_ptr<VisualSpans> spans = std::make_shared<VisualSpans>();
    std::vector<int> unnamed, unready;  // spans
    std::vector<Fingerprint> content;   // by position, as far as it was asked for
    int written = 0;                    // tokens in the shadow memory
    int length = 0;                     // tokens that are known or drawn by steps under way
    int known = 0;
    int max_length = 0;
    int unscored = kNothingToScore;  // the first row that was not scored
    uint64_t arrival = 0;
  };
  static bool HasFailure() { return ::testing::Test::HasFailure(); }
  int pick(int low, int high) { return std::uniform_int_distribution<int>(low, high)(random_); }
  bool chance(double p) { return std::bernoulli_distribution(p)(random_); }

  void arrive(SequenceId id) {
    SequenceSpec spec;
    spec.id = id;
    Live live;
    const auto twin =
        std::next(live_.begin(), live_.empty() ? 0 : pick(0, static_cast<int>(live_.size()) - 1));
    if (!live_.empty() && chance(0.2)) {
      const Sequence& first = *scheduler_->find(twin->first);
      spec.after = twin->first;
      spec.prompt.assign(first.tokens.begin(), first.tokens.begin() + first.prompt_length);
      spec.cache_root = first.cache_root;
      live.spans = twin->second.spans;
    } else {
      draw_prompt(spec, live);
    }
    spec.max_tokens = pick(1, 20);
    spec.scores = chance(0.2);
    live.unscored = spec.scores ? 0 : kNothingToScore;
    spec.client = std::to_string(pick(1, 3));
    if (chance(0.3)) spec.priority = pick(-2, 2);
    const int length = static_cast<int>(spec.prompt.size());
    spec.spans = live.spans;
    if (chance(0.1)) spec.deadline = now_ + std::chrono::milliseconds(pick(0, 60));
    live.length = live.known = length;
    live.max_length = length + spec.max_tokens;
    live.arrival = arrivals_++;
    SequenceSpec at_most = longest(spec, live.max_length);
    const bool fits = scheduler_->fits(live.max_length);
    const bool full = scheduler_->waiting() >= options_.max_waiting;
    const Admission admission = scheduler_->add(std::move(spec));
    EXPECT_EQ(admission, full ? Admission::queue_full : !fits ? Admission::too_long : Admission::queued);
    if (admission != Admission::queued) return;
    live_[id] = live;
    ever_.push_back(std::move(at_most));
  }

  // Returns what the sequence can become at most; its steps draw the token 1.
  static SequenceSpec longest(SequenceSpec spec, int max_length) {
    spec.prompt.resize(static_cast<size_t>(max_length), 1);
    spec.max_tokens = 1;
    spec.deadline.reset();
    spec.after = 0;
    spec.scores = false;
    return spec;
  }

  // A named page is of no use once the named page before it is gone: nobody finds it. So whatever was
  // evicted, the pages that are found from the beginnings of all sequences are all that are kept.
  void expect_kept_pages_to_be_found() {
    const auto fits = [&](const SequenceSpec& s) { return scheduler_->fits(std::ssize(s.prompt) + 1); };
    if (!std::ranges::all_of(ever_, fits)) return;
    std::set<int32_t> found;
    for (const SequenceSpec& spec : ever_) {
      EXPECT_EQ(scheduler_->add(spec), Admission::queued);
      scheduler_->adopt(spec.id);
      for (const PageRef& page : scheduler_->find(spec.id)->pages) found.insert(page.page());
      scheduler_->finish(spec.id);
    }
    EXPECT_EQ(std::ssize(found), scheduler_->pages().named()) << "a page is kept that nobody finds";
    looked_up_ = true;
  }

  // Prompts tell one of a few stories, so that many begin alike; a slice is one of two.
  void draw_prompt(SequenceSpec& spec, Live& live) {
    const int story = pick(0, 2), departs = pick(0, 60), length = pick(1, 40);
    if (chance(0.9)) spec.cache_root = Fingerprint{static_cast<uint64_t>(pick(1, 2)), 0};
    for (int i = 0; i < length; ++i) spec.prompt.push_back(i < departs ? story : pick(0, 2));
    for (int at = story; at < length; at += 3 + story) {
      const int n = std::min(4, length - at);
      if (!chance(0.8)) continue;
      live.unnamed.push_back(static_cast<int>(live.spans->size()));
      live.spans->push_back({.position = at, .length = n});
      at += n;
    }
  }

  // A slice is named first, and its rows come later.
  void advance_slices(Live& live) {
    if (!live.unnamed.empty() && chance(0.5)) {
      const int span = live.unnamed.front();
      live.unnamed.erase(live.unnamed.begin());
      live.spans->at(static_cast<size_t>(span)).slice = Fingerprint{7, static_cast<uint64_t>(pick(0, 1))};
      live.unready.push_back(span);
    }
    if (live.unready.empty() || !chance(0.3)) return;
    const auto i = static_cast<size_t>(pick(0, static_cast<int>(live.unready.size()) - 1));
    live.spans->at(static_cast<size_t>(live.unready[i])).ready = true;
    live.unready.erase(live.unready.begin() + static_cast<std::ptrdiff_t>(i));
  }

  void outside_events() {
    for (auto at = live_.begin(); at != live_.end();) {
      auto& [id, live] = *at;
      advance_slices(live);
      if (chance(0.1)) expect_adopted(id);
      if (chance(0.005)) {
        scheduler_->finish(id);
        at = forget(at);
      } else {
        ++at;
      }
    }
    scheduler_->check_integrity();
  }

  // Between steps, anybody may ask how much of a sequence is there.
  void expect_adopted(SequenceId id) {
    const int before = scheduler_->find(id)->computed;
    const int covered = scheduler_->adopt(id);
    const Sequence& sequence = *scheduler_->find(id);
    EXPECT_GE(sequence.computed, before);
    if (sequence.launched == 0) {
      EXPECT_EQ(covered, sequence.computed);
      return;
    }
    EXPECT_EQ(sequence.computed, before) << "a step under way writes to its pages";
    EXPECT_GE(covered, before);
    EXPECT_LT(covered, std::max(sequence.length(), before + 1));
  }

  // A request that shares its slices sees to them from now on.
  std::map<SequenceId, Live>::iterator forget(std::map<SequenceId, Live>::iterator at) {
    if (at == live_.end()) return at;
    for (auto& [id, live] : live_) {
      if (id == at->first || live.spans != at->second.spans) continue;
      live.unnamed = std::exchange(at->second.unnamed, {});
      live.unready = std::exchange(at->second.unready, {});
      break;
    }
    return live_.erase(at);
  }

  void step() {
    ++steps_;
    const int rows = pick(1, options_.token_budget);
    scheduler_->set_step_rows(rows);
    Batch batch = scheduler_->next(now_);
    for (SequenceId id : batch.expired) forget(live_.find(id));
    for (SequenceId id : batch.preempted) {
      // One that has ended may still hold pages, for its last step.
      if (live_.contains(id)) live_.at(id).written = 0;
    }
    const auto decoding = std::ranges::count_if(batch.items, [](const BatchItem& i) { return i.decodes(); });
    EXPECT_LE(batch.rows(), std::max<int64_t>(rows + 1, decoding)) << "a scored row may be one too many";
    EXPECT_LE(batch.tokens, std::max<int64_t>(rows, decoding));
    EXPECT_LE(scheduler_->running(), options_.max_running);
    expect_decoding_first(batch);
    expect_no_idle_places(batch);
    for (const PageCopy& copy : batch.copies) this->copy(copy);
    expect_the_oldest_keeps_its_pages(batch);
    for (const BatchItem& item : batch.items) compute(item);
    scheduler_->check_integrity();
    std::vector<SequenceId> cancelled;
    for (const BatchItem& item : batch.items) {
      if (chance(0.005)) cancelled.push_back(item.sequence->id);
    }
    for (SequenceId id : cancelled) {
      scheduler_->finish(id);
      forget(live_.find(id));
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
        forget(at);
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
      const bool runnable = runnable_tokens(s) > 0 && s.length() < s.max_length && !waits_for_twin(s);
      if (s.phase == Phase::running) {
        EXPECT_GT(runnable_tokens(s), 0) << "request " << id << " waits in a place for a slice";
      }
      could_run = could_run || runnable;
    }
    if (under_way_.empty()) {
      EXPECT_EQ(batch.items.empty(), !could_run);
    }
  }

  // Of those with a place, the one whose first turn was first is never preempted: whoever was is younger.
  // Steps under way may hold the pages of one that has ended, which nobody can take.
  void expect_the_oldest_keeps_its_pages(const Batch& batch) {
    if (!under_way_.empty()) return;
    uint64_t oldest = kNoTurn;
    for (const auto& [id, live] : live_) {
      const Sequence& s = *scheduler_->find(id);
      if (s.phase == Phase::running) oldest = std::min(oldest, s.order);
    }
    for (SequenceId id : batch.preempted) {
      const Sequence* s = scheduler_->find(id);
      if (s == nullptr || s->leaving || s->phase == Phase::running) continue;
      EXPECT_GT(s->order, oldest);
    }
  }

  bool waits_for_twin(const Sequence& s) const {
    const auto twin = live_.find(s.after);
    if (twin == live_.end()) return false;
    const Sequence& first = *scheduler_->find(s.after);
    if (first.scores()) return true;
    if (!s.cache_root || s.preemptions > 0) return false;
    return static_cast<int>(first.tokens.size()) == first.prompt_length;
  }

  // The token at a position depends on this.
  const Fingerprint& content(const Sequence& s, int position) {
    std::vector<Fingerprint>& all = live_.at(s.id).content;
    while (static_cast<int>(all.size()) <= position) {
      const int p = static_cast<int>(all.size());
      const Fingerprint before = all.empty() ? s.cache_root.value_or(Fingerprint{s.id, 99}) : all.back();
      Fingerprint seen{};
      int32_t what = p < static_cast<int>(s.tokens.size()) ? s.tokens[static_cast<size_t>(p)] : 1;
      for (const VisualSpan& span : *s.spans) {
        if (p < span.position || p >= span.position + span.length) continue;
        seen = span.slice.value();
        what = 1000 + p - span.position;
      }
      all.push_back(fingerprint({bytes_of(before), bytes_of(seen), bytes_of(what)}));
    }
    return all[static_cast<size_t>(position)];
  }

  Fingerprint& cell(const Sequence& s, int position) {
    const PageRef& page = s.pages.at(static_cast<size_t>(position / options_.page_size));
    return memory_.at(static_cast<size_t>(page.page() * options_.page_size + position % options_.page_size));
  }

  void copy(const PageCopy& copy) {
    const auto of = [&](int32_t page) { return memory_.begin() + std::ptrdiff_t{page} * options_.page_size; };
    std::copy_n(of(copy.from), options_.page_size, of(copy.to));
    EXPECT_LE(scheduler_->pages().holders(copy.to), 1);
    ++copied_;
    // A sequence that holds it goes on where the page's first owner stood.
    for (auto& [id, live] : live_) {
      const Sequence& s = *scheduler_->find(id);
      if (!s.pages.empty() && s.pages.back().page() == copy.to)
        live.written = std::max(live.written, s.computed);
    }
  }

  void compute(const BatchItem& item) {
    const Sequence& s = *item.sequence;
    Live& live = live_.at(s.id);
    ASSERT_GT(item.count, 0);
    // In order; but for a page that was given away while it waited, or that another has computed.
    ASSERT_TRUE(item.first == live.written || item.first % options_.page_size == 0);
    shared_ += std::max(0, item.first - live.written);
    live.written = item.first;
    ASSERT_EQ(item.samples, item.first + item.count == live.length);
    for (const VisualSpan& span : *s.spans) {
      ASSERT_TRUE(span.ready || item.first + item.count <= span.position ||
                  span.position + span.length <= item.first)
          << "a row was used before it came";
    }
    for (int p = 0; p < item.first; ++p) {
      ASSERT_EQ(cell(s, p), content(s, p)) << "token " << p << " reads what is not its own";
    }
    for (int p = item.first; p < item.first + item.count; ++p) cell(s, p) = content(s, p);
    live.written += item.count;
    score(item, live);
    if (item.samples) ++live.length;
  }

  // Every row of the prompt but its last is scored, once and in order.
  void score(const BatchItem& item, Live& live) {
    const int end = std::min(item.first + item.count, item.sequence->prompt_length - 1);
    if (live.unscored >= end) {
      ASSERT_EQ(item.scores_from, item.scores_end);
      return;
    }
    ASSERT_EQ(item.scores_from, live.unscored);
    ASSERT_EQ(item.scores_end, end);
    live.unscored = end;
    ++scored_;
  }

  std::mt19937_64 random_;
  bool overlap_;
  std::deque<Batch> under_way_;
  SchedulerOptions options_;
  std::unique_ptr<Scheduler> scheduler_;
  std::vector<Fingerprint> memory_;
  std::map<SequenceId, Live> live_;
  std::vector<SequenceSpec> ever_;
  bool looked_up_ = false;
  TimePoint now_{};
  uint64_t arrivals_ = 0;
  int shared_ = 0;
  int copied_ = 0;
  int steps_ = 0;
  int scored_ = 0;
};

// A run has some 50 steps: those one by one and the overlapped ones together make a million. UHD_RANDOM_RUNS
// in the environment sets another number of runs, for more by hand.
uint64_t runs() {
  if (const char* more = std::getenv("UHD_RANDOM_RUNS"); more != nullptr)
    return std::strtoull(more, nullptr, 10);
#if defined(UHD_SANITIZED)
  return 3000;  // each takes ten times as long here
#else
  return 11000;
#endif
}

class RandomSchedule : public ::testing::TestWithParam<bool> {};

TEST_P(RandomSchedule, KeepsItsInvariantsAndEndsEveryRequest) {
  int64_t shared = 0, copied = 0, steps = 0, scored = 0, looked_up = 0;
  const uint64_t all = runs();
  for (uint64_t seed = 0; seed < all && !HasFailure(); ++seed) {
    SCOPED_TRACE(seed);
    RandomRun one(seed, GetParam());
    one.run();
    shared += one.shared();
    copied += one.copied();
    steps += one.steps();
    scored += one.scored();
    looked_up += one.looked_up() && one.evictions() > 0 ? 1 : 0;
  }
  EXPECT_GT(shared, 1000) << "tokens that one computed for another";
  EXPECT_GT(copied, 100) << "pages that one had begun";
  EXPECT_GT(scored, 1000) << "chunks of prompts";
  EXPECT_GT(looked_up, std::min<int64_t>(1000, static_cast<int64_t>(all) / 4))
      << "runs in which pages were evicted";
  EXPECT_GT(steps, 46 * static_cast<int64_t>(all));
}

INSTANTIATE_TEST_SUITE_P(Steps, RandomSchedule, ::testing::Bool(),
                         [](const auto& test) { return test.param ? "Overlapped" : "OneByOne"; });

}  // namespace
}  // namespace uhd
