#include "net/connections.h"

namespace uhd {

std::unique_ptr<Connections::Place> Connections::enter(const std::string& client,
                                                       std::function<void()> give_way) {
  {
    std::unique_lock lock(mutex_);
    if (entries_.size() - leaving_ < most_) {
      entries_.push_front({client, std::move(give_way), Clock::now()});
      ++by_client_[client];
      return std::make_unique<Place>(*this, entries_.begin());
    }
  }
  if (!make_room()) return nullptr;
  return enter(client, std::move(give_way));
}

bool Connections::make_room() {
  std::function<void()> give_way;
  {
    std::lock_guard lock(mutex_);
    Entry* const chosen = choose();
    if (chosen == nullptr) return false;
    chosen->leaving = true;
    ++leaving_;
    give_way = chosen->give_way;
  }
  give_way();
  return true;
}

Connections::Entry* Connections::choose() {
  Entry* chosen = nullptr;
  int most = 0;
  for (Entry& entry : entries_) {
    if (entry.leaving || !entry.waiting_since) continue;
    const int of_client = by_client_[entry.client];
    const bool better =
        of_client > most || (of_client == most && *entry.waiting_since < *chosen->waiting_since);
    if (!better) continue;
    chosen = &entry;
    most = of_client;
  }
  return chosen;
}

void Connections::leave(Entries::iterator entry) {
  std::lock_guard lock(mutex_);
  if (entry->leaving) --leaving_;
  const auto count = by_client_.find(entry->client);
  if (--count->second == 0) by_client_.erase(count);
  entries_.erase(entry);
}

void Connections::set(Entries::iterator entry, std::optional<TimePoint> waiting_since) {
  std::lock_guard lock(mutex_);
  if (entry->leaving && !waiting_since) {
    entry->leaving = false;
    --leaving_;
  }
  entry->waiting_since = waiting_since;
}

}  // namespace uhd
