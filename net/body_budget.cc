#include "net/body_budget.h"

#include <vector>

namespace uhd {

std::unique_ptr<BodyBudget::Hold> BodyBudget::receive(const std::string& client,
                                                      std::function<void()> give_way) {
  std::lock_guard lock(mutex_);
  entries_.push_front({client, std::move(give_way), Clock::now()});
  return std::make_unique<Hold>(shared_from_this(), entries_.begin());
}

std::unique_ptr<BodyBudget::Hold> BodyBudget::keep(const std::string& client, int64_t bytes) {
  std::lock_guard lock(mutex_);
  entries_.push_front({.client = client, .since = Clock::now(), .unfinished = false});
  count(entries_.front(), bytes);
  return std::make_unique<Hold>(shared_from_this(), entries_.begin());
}

int64_t BodyBudget::held() const {
  std::lock_guard lock(mutex_);
  return held_;
}

bool BodyBudget::grow(Entries::iterator entry, int64_t bytes) {
  std::vector<Callback> to_call;
  bool fits = true;
  {
    std::lock_guard lock(mutex_);
    if (entry->asked) return false;
    const int64_t before = entry->bytes;
    count(*entry, bytes);
    while (fits && over(*entry)) {
      const auto other = worst(*entry);
      fits = other != entries_.end() && other != entry;
      if (!fits) break;
      count(*other, 0);
      other->asked = true;
      to_call.push_back(std::move(other->give_way));
    }
    if (!fits) count(*entry, before);
  }
  for (const Callback& call : to_call) call();
  return fits;
}

void BodyBudget::settle(Entries::iterator entry) {
  std::lock_guard lock(mutex_);
  entry->unfinished = false;
}

void BodyBudget::leave(Entries::iterator entry) {
  std::lock_guard lock(mutex_);
  count(*entry, 0);
  entries_.erase(entry);
}

void BodyBudget::count(Entry& entry, int64_t bytes) {
  const int64_t more = bytes - entry.bytes;
  entry.bytes = bytes;
  held_ += more;
  const auto share = by_client_.try_emplace(entry.client, 0).first;
  share->second += more;
  if (share->second == 0) by_client_.erase(share);
}

bool BodyBudget::over(const Entry& entry) const {
  const auto share = by_client_.find(entry.client);
  return held_ > total_ || (share != by_client_.end() && share->second > per_client_);
}

// Compares bytes times seconds, so that neither a fast sender that then stops nor a slow one is safe, and an
// honest upload is hardly ever the worst.
BodyBudget::Entries::iterator BodyBudget::worst(const Entry& newcomer) {
  const bool own_share = by_client_[newcomer.client] > per_client_;
  const TimePoint now = Clock::now();
  auto found = entries_.end();
  double most = -1;
  for (auto at = entries_.begin(); at != entries_.end(); ++at) {
    if (!at->unfinished || at->asked || at->bytes == 0) continue;
    if (own_share && at->client != newcomer.client) continue;
    const double cost = static_cast<double>(at->bytes) * seconds(now - at->since);
    if (cost > most) {
      most = cost;
      found = at;
    }
  }
  return found;
}

}  // namespace uhd
