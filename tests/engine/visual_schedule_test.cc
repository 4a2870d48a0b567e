// Random runs of what requests wait for, together: rows of a tiny store, cutting with a budget, places and
// pages, and encoders that fail. Every request ends, and nothing stands still while a request waits.
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>

#include "engine/leader/cut_queue.h"
#include "engine/slices/visual_flow.h"
#include "scheduler/policy.h"
#include "scheduler/scheduler.h"
#include "tests/engine/fake_encoders.h"

namespace uhd {
namespace {

constexpr int kStoreRows = 2;  // of a slice

class WaitingRun {
 public:
  WaitingRun(uint64_t seed, Backend& backend)
      : random_(seed),
        keeps_(chance(0.5)),
        buffers_(backend, {.buffers = 256, .most_rows = kStoreRows + 1, .width = 1}),
        metrics_("test"),
        store_rows_(kStoreRows * pick(3, 10)),
        cutting_(pick(1, 12)),
        flow_(store_rows_, encoders_, metrics_),
        scheduler_({.max_running = pick(1, keeps_ ? 6 : 3),
                    .max_waiting = 100,
                    .token_budget = pick(6, 12),
                    .page_size = 2,
                    .pages = kMaxLength / 2 + pick(0, keeps_ ? 4 : 12)}) {}

  int left_out() const { return left_out_; }
  int images_cut_again() const { return cut_again_; }

  void run() {
    int to_arrive = keeps_ ? pick(10, 30) : pick(2, 14);
    for (int turn = 0; turn < 20000; ++turn) {
      for (; to_arrive > 0 && chance(0.3); --to_arrive) arrive(static_cast<SequenceId>(to_arrive));
      bool moved = cut_again();
      moved = cut() || moved;
      moved = encode() || moved;
      moved = advance() || moved;
      moved = step() || moved;
      if (!live_.empty() && chance(0.01)) end(std::next(live_.begin(), pick(0, size(live_) - 1))->first);
      check_all();
      if (::testing::Test::HasFailure()) return;
      if (to_arrive == 0 && live_.empty()) return check_end();
      ASSERT_TRUE(moved || live_.empty() || lazy_) << "requests wait, and nothing moves";
    }
    FAIL() << "some request never ended";
  }

 private:
  static constexpr int kMaxLength = 24;
  struct Live {
    std::vector<uint64_t> slices;  // by span: the name of what is seen
    std::shared_ptr<VisualSpans> spans = std::make_shared<VisualSpans>();
    CutRequest images;  // until it has room
    std::shared_ptr<std::atomic<bool>> abandoned = std::make_shared<std::atomic<bool>>(false);
    std::string client;
    std::set<int> left_out;  // images with slices that were left out
    int left = 0;            // tokens of the answer
  };

  int pick(int low, int high) { return std::uniform_int_distribution<int>(low, high)(random_); }
  bool chance(double p) { return std::bernoulli_distribution(p)(random_); }
  // Now and then nothing happens outside: that is no standstill.
  bool lazy() { return chance(0.4) && (lazy_ = true); }
  static int size(const auto& container) { return static_cast<int>(container.size()); }

  void arrive(SequenceId id) {
    Live live;
    SequenceSpec spec{.id = id};
    if (keeps_) spec.cache_root = Fingerprint{1, 1};
    const int spans = std::min(pick(0, 5), store_rows_ / kStoreRows);
    live.images = {.request = id, .client = std::to_string(pick(1, 2)), .abandoned = live.abandoned};
    int at = keeps_ ? 0 : pick(0, 3);
    // One pixel a slice; one or two images.
    for (int image = 0, left = spans; left > 0; ++image) {
      const int pieces = image == 1 ? left : pick(1, left);
      live.images.images.push_back({std::make_shared<const std::string>(), plan_of(pieces), image});
      left -= pieces;
      for (int piece = 0; piece < pieces; ++piece, at += kStoreRows + (keeps_ ? 0 : pick(0, 1))) {
        live.spans->push_back({image, piece, at, kStoreRows});
        live.slices.push_back(keeps_ ? name_at(at) : static_cast<uint64_t>(pick(1, 20)));
      }
    }
    if (keeps_ && spans == 0) at = pick(8, 12);
    spec.spans = live.spans;
    spec.max_tokens = live.left = pick(1, keeps_ ? 11 : 4);
    spec.prompt.assign(static_cast<size_t>(at + 1), 1);
    ASSERT_EQ(scheduler_.add(std::move(spec)), Admission::queued);
    live.client = live.images.client;
    if (spans > 0) flow_.add(id, live.client, live.images.urgency, live.spans);
    live_.emplace(id, std::move(live));
  }

  // Few slices for each place, so that many requests begin alike.
  uint64_t name_at(int position) { return static_cast<uint64_t>(10 * position + pick(1, 3)); }

  static SlicePlan plan_of(int pieces) {
    SlicePlan plan;
    plan.columns = pieces - 1;
    plan.rows = 1;
    plan.cell = plan.overview = {1, 1};
    return plan;
  }

  bool cut() {
    lazy_ = false;
    if (lazy()) return false;
    const auto work = cutting_.next({});
    if (work) cut_now_.push_back(*work);
    if (cut_now_.empty() || lazy()) return work.has_value();
    const size_t at = static_cast<size_t>(pick(0, size(cut_now_) - 1));
    const CutQueue::Work done = cut_now_[at];
    cut_now_.erase(cut_now_.begin() + static_cast<std::ptrdiff_t>(at));
    const RequestId id = done.request->request;
    if (chance(0.02)) {
      cutting_.fail(done);
      end(id);
    } else {
      cutting_.finish(done);
      want(id, done.task().number, pixels_of(done.task().plan.pieces()));
    }
    return true;
  }

  std::vector<SharedSlice> pixels_of(int pieces) {
    std::vector<SharedSlice> slices;
    for (int i = 0; i < pieces; ++i) {
      slices.emplace_back(new Slice{1, 1, {0, 0, 0}, {}}, [this](const Slice* gone) {
        cutting_.returned(3);
        delete gone;
      });
    }
    return slices;
  }

  // Images whose slices are left out, and whose keys and values are lost again, are cut again.
  bool cut_again() {
    bool lost = false;
    for (auto& [id, live] : live_) {
      const int covered = scheduler_.adopt(id);
      for (auto image = live.left_out.begin(); image != live.left_out.end();) {
        const bool needed = std::ranges::any_of(*live.spans, [&](const VisualSpan& span) {
          return span.image == *image && !span.held && span.position + span.length > covered;
        });
        if (!needed) {
          ++image;
          continue;
        }
        const auto pieces = static_cast<int>(std::ranges::count(*live.spans, *image, &VisualSpan::image));
        cutting_.add({.request = id,
                      .client = live.client,
                      .images = {{std::make_shared<const std::string>(), plan_of(pieces), *image}},
                      .abandoned = live.abandoned});
        image = live.left_out.erase(image);
        lost = true;
        ++cut_again_;
      }
    }
    return lost;
  }

  void want(RequestId id, int image, const std::vector<SharedSlice>& pieces) {
    const auto live = live_.find(id);
    if (live == live_.end()) return;
    std::vector<SliceJob> jobs;
    for (size_t i = 0; i < live->second.spans->size(); ++i) {
      const VisualSpan& span = live->second.spans->at(i);
      if (span.image != image) continue;
      const uint64_t name = live->second.slices.at(i);
      auto named = std::make_shared<Slice>(Slice{1, 1, {}, {name, name}});
      const SharedSlice& piece = pieces.at(static_cast<size_t>(span.piece));
      jobs.push_back({SharedSlice(named.get(), [named, piece](const Slice*) {}), kStoreRows, 1});
    }
    VisualFlow::name(*live->second.spans, image, jobs);
    const int left_out = flow_.want(id, image, std::move(jobs), {}, scheduler_.adopt(id));
    if (left_out > 0) live->second.left_out.insert(image);
    left_out_ += left_out;
  }

  bool encode() {
    for (const SliceJob& job : encoders_.jobs) {
      if (chance(0.3)) encoders_.started.insert(job.slice->fingerprint);
    }
    if (encoders_.jobs.empty() || lazy()) return false;
    const bool all_lost = chance(0.005);
    while (!encoders_.jobs.empty()) {
      const size_t at = static_cast<size_t>(pick(0, size(encoders_.jobs) - 1));
      const Fingerprint name = encoders_.jobs[at].slice->fingerprint;
      const bool ok = !all_lost && !chance(0.01);
      const int rows = chance(0.01) ? kStoreRows + 1 : kStoreRows;  // an encoder that lies
      encoders_.ended.push_back({name, ok, all_lost, "", ok ? buffers_.take(rows) : StagedRows(), {}});
      encoders_.jobs.erase(encoders_.jobs.begin() + static_cast<std::ptrdiff_t>(at));
      encoders_.started.erase(name);
      if (!all_lost) break;
    }
    return true;
  }

  bool advance() {
    const size_t jobs = encoders_.jobs.size();
    const VisualFlow::Progress progress = flow_.poll({}, {});
    for (RequestId id : progress.room) cutting_.add(std::move(live_.at(id).images));
    for (const VisualFlow::Failed& failed : progress.failed) end(failed.request);
    return encoders_.jobs.size() > jobs || !progress.room.empty() || !progress.ready.empty() ||
           !progress.failed.empty();
  }

  bool step() {
    const Batch batch = scheduler_.next({});
    const bool placing = flow_.has_placements();
    std::vector<Placement> placements;
    if (placing) flow_.take_placements(placements);
    flow_.placed();
    for (const Placement& placement : placements) EXPECT_EQ(placement.rows.size(), size_t{kStoreRows});
    for (const BatchItem& item : batch.items) expect_rows(item);
    std::vector<SequenceId> sampled;
    for (const BatchItem& item : batch.items) {
      if (item.samples) sampled.push_back(item.sequence->id);
    }
    if (!batch.items.empty()) {
      scheduler_.launched(batch);
      scheduler_.complete(batch, std::vector<int32_t>(sampled.size(), 1));
    }
    for (SequenceId id : sampled) {
      if (--live_.at(id).left == 0) end(id);
    }
    return placing || !batch.items.empty();
  }

  void expect_rows(const BatchItem& item) {
    for (const VisualSpan& span : *item.sequence->spans) {
      if (span.position >= item.first + item.count) break;
      if (span.position + span.length <= item.first) continue;  // its keys and values are there
      EXPECT_TRUE(span.ready);
      EXPECT_EQ(flow_.rows_of(span).size(), size_t{kStoreRows});
    }
  }

  void end(SequenceId id) {
    const auto live = live_.find(id);
    if (live == live_.end()) return;
    live->second.abandoned->store(true);
    live_.erase(live);
    scheduler_.finish(id);
    flow_.drop(id);
  }

  void check_all() {
    scheduler_.check_integrity();
    flow_.check_integrity();
  }

  void check_end() {
    EXPECT_TRUE(scheduler_.empty());
    for (CutQueue::Work& work : cut_now_) {
      cutting_.finish(work);
      pixels_of(work.task().plan.pieces());  // nobody wants it any more
    }
    cut_now_.clear();
    EXPECT_FALSE(cutting_.next({}));
    encoders_.jobs.clear();
    EXPECT_EQ(cutting_.in_use(), 0);
  }

  std::mt19937_64 random_;
  bool keeps_;  // pages, for later requests that begin alike
  RowBuffers buffers_;
  Metrics metrics_;
  int store_rows_;
  CutQueue cutting_;  // before who holds its slices
  FakeEncoders encoders_;
  VisualFlow flow_;
  Scheduler scheduler_;
  std::vector<CutQueue::Work> cut_now_;
  std::map<SequenceId, Live> live_;
  bool lazy_ = false;
  int left_out_ = 0;   // slices
  int cut_again_ = 0;  // images
};

TEST(VisualSchedule, NoRequestsWaitForEachOtherInACircle) {
  const auto backend = make_backend({.kind = "cpu", .threads = 1});
  int left_out = 0, cut_again = 0;
  for (uint64_t seed = 0; seed < 3000 && !::testing::Test::HasFailure(); ++seed) {
    SCOPED_TRACE(seed);
    WaitingRun run(seed, *backend);
    run.run();
    left_out += run.left_out();
    cut_again += run.images_cut_again();
  }
  EXPECT_GT(left_out, 1000);
  EXPECT_GT(cut_again, 5) << "pages of slices that nobody encoded were lost";
}

}  // namespace
}  // namespace uhd
