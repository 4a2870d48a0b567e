#include "engine/leader/leader_report.h"

#include <algorithm>
#include <map>

namespace uhd {
namespace {

constexpr Duration kDebtsEvery = std::chrono::seconds(1);

}  // namespace

void LeaderReport::publish(const Work& accepted) {
  const int encoders = parts_.encoders == nullptr ? 1 : parts_.encoders->encoders();
  state_.running = scheduler_.running();
  state_.free_pages = scheduler_.pages().free();
  state_.cached_pages = scheduler_.pages().named();
  state_.deepest_debt = scheduler_.turns().deepest_debt();
  publish_cost(accepted, encoders);
  count_evictions();
  tell_debts();
  if (parts_.encoders != nullptr) {
    state_.encoders = encoders;
    state_.slices_queued = parts_.encoders->queued();
  }
}

void LeaderReport::publish_cost(const Work& accepted, int encoders) {
  state_.queued_seconds = cost_.predict(accepted, encoders).total();
  if (!cost_.known()) return;
  const StageSeconds units = cost_.units();
  state_.patch_seconds = units.encode;
  state_.prompt_row_seconds = units.prefill;
  state_.decoded_row_seconds = units.decode;
}

void LeaderReport::count_evictions() {
  const int64_t pages = scheduler_.pages().evictions();
  if (pages > evicted_pages_) {
    parts_.metrics->prefix_evicted((pages - evicted_pages_) * parts_.options.page_size);
  }
  evicted_pages_ = pages;
}

// Clients without a key are not told apart.
void LeaderReport::tell_debts() {
  const TimePoint now = Clock::now();
  if (now - debts_told_ < kDebtsEvery) return;
  debts_told_ = now;
  std::map<std::string, double> debts;
  for (const std::string& key : told_keys_) debts[key] = 0;
  told_keys_.clear();
  table_.for_each([&](const LiveRequest& request) {
    if (request.tenant().empty()) return;
    debts[request.tenant()] = std::max(0.0, -scheduler_.turns().balance(request.client()));
    told_keys_.insert(request.tenant());
  });
  for (const auto& [key, rows] : debts) parts_.metrics->key_debt(key, rows);
}

}  // namespace uhd
