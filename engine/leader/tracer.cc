#include "engine/leader/tracer.h"

#include <algorithm>
#include <iomanip>
#include <random>
#include <sstream>

#include "base/log.h"
#include "engine/leader/chrome_trace.h"

namespace uhd {

namespace {

constexpr int kMostOpen = 16;
constexpr size_t kMostLaunched = 1024;
constexpr Duration kLongestWait = std::chrono::seconds(1);

bool chosen_by_chance(double share) {
  if (share <= 0) return false;
  thread_local std::mt19937_64 generator{std::random_device{}()};
  return std::uniform_real_distribution<double>(0, 1)(generator) < share;
}

int64_t unix_now_us() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::microseconds>(now).count();
}

}  // namespace

Tracer::Tracer(const TraceOptions& options, int followers)
    : share_(options.share), followers_(followers), files_(options.dir, options.files, options.total_bytes) {}

Tracer::~Tracer() {
  for (const Ending& ending : ending_) write(ending.record);
}

std::shared_ptr<TraceRecord> Tracer::begin(RequestId id, const Request& request) {
  if (!request.trace.sampled && !chosen_by_chance(share_)) return nullptr;
  if (open_->fetch_add(1) >= kMostOpen) {
    --*open_;
    return nullptr;
  }
  std::shared_ptr<TraceRecord> record(new TraceRecord, [open = open_](const TraceRecord* gone) {
    delete gone;
    --*open;
  });
  const TimePoint now = Clock::now();
  record->request = id;
  record->name = request.trace_id;
  record->context = request.trace;
  record->zero = request.first_byte.value_or(now);
  record->unix_us =
      unix_now_us() - std::chrono::duration_cast<std::chrono::microseconds>(now - record->zero).count();
  return record;
}

void Tracer::launched(uint64_t step, TimePoint when) {
  launched_.emplace(step, when);
  if (launched_.size() > kMostLaunched) launched_.erase(launched_.begin());
}

void Tracer::reported(const StepReport& report, TimePoint came) {
  const auto launched = launched_.find(report.number);
  if (launched == launched_.end() || report.rank < 1 || report.rank > followers_) return;
  clocks_[report.rank].exchanged(launched->second, report.reached, report.ended, came);
  const auto tell = [&](TraceRecord& record) {
    const bool part = std::ranges::binary_search(record.steps, report.number, {}, &TracedStep::number);
    if (part && record.rank_steps.size() < kMostRankSteps) record.rank_steps.push_back({report.rank, report});
  };
  for (const auto& record : live_) tell(*record);
  for (const Ending& ending : ending_) tell(*ending.record);
}

void Tracer::ended(const std::shared_ptr<TraceRecord>& record, const std::string& finish, TimePoint now) {
  if (std::erase(live_, record) == 0) return;
  record->ended = now;
  record->finish = finish;
  ending_.push_back({record, now + kLongestWait});
}

void Tracer::poll(TimePoint now) {
  std::erase_if(ending_, [&](const Ending& ending) {
    if (now < ending.latest && !complete(*ending.record)) return false;
    write(ending.record);
    return true;
  });
}

bool Tracer::complete(const TraceRecord& record) const {
  if (record.steps.empty() || record.rank_steps.size() >= kMostRankSteps) return true;
  const uint64_t last = record.steps.back().number;
  return followers_ == std::ranges::count_if(record.rank_steps, [&](const RankStep& step) {
           return step.report.number == last;
         });
}

// A trace may have megabytes: the thread of the files makes them. Nobody changes a record that has ended.
void Tracer::write(const std::shared_ptr<const TraceRecord>& record) {
  std::ostringstream name;
  name << std::setfill('0') << std::setw(16) << record->unix_us << '-' << record->request;
  files_.write(name.str(), [record, clocks = clocks_] { return chrome_trace(*record, clocks); });
}

}  // namespace uhd
