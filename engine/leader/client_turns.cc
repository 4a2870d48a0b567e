#include "engine/leader/client_turns.h"

#include <algorithm>

namespace uhd {

bool ClientTurns::ask(const std::string& client, TimePoint now) {
  if (!busy_) {
    std::erase_if(places_, [&](const Place& p) { return p.client != client && p.kept_from + kKept < now; });
  }
  const auto own = std::ranges::find(places_, client, &Place::client);
  if (own != places_.end()) own->kept_from = now;
  if (!busy_ && is_first(client)) return true;
  if (own == places_.end() && places_.size() < kMostPlaces) {
    const bool before = client != behind_ && !places_.empty() && places_.back().client == behind_;
    places_.insert(before ? std::prev(places_.end()) : places_.end(), {client, now});
  }
  return false;
}

void ClientTurns::begin(const std::string& client) {
  std::erase_if(places_, [&](const Place& p) { return p.client == client; });
  behind_ = client;
  busy_ = true;
}

void ClientTurns::end(TimePoint now) {
  busy_ = false;
  for (Place& place : places_) place.kept_from = now;
}

}  // namespace uhd
