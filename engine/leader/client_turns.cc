#include "engine/leader/client_turns.h"

#include <algorithm>

namespace uhd {

bool ClientTurns::ask(const std::string& client, TimePoint now) {
  if (!busy_) {
    std::erase_if(places_, [&](const Place& p) { return p.client != client && p.kept_from + kKept < now; });
  }
  const auto own = std::ranges::find(places_, client, &Place::client);
  if (own != places_.end()) {
    own->kept_from = now;
  } else if (places_.size() < kMostPlaces) {
    const bool before_last = client != last_ && !places_.empty() && places_.back().client == last_;
    places_.insert(before_last ? std::prev(places_.end()) : places_.end(), {client, now});
  }
  return !busy_ && is_first(client);
}

bool ClientTurns::is_first(const std::string& client) const {
  return !places_.empty() && places_.front().client == client;
}

void ClientTurns::leave(const std::string& client) {
  std::erase_if(places_, [&](const Place& p) { return p.client == client; });
}

void ClientTurns::begin(const std::string& client) {
  leave(client);
  last_ = client;
  busy_ = true;
}

void ClientTurns::end(TimePoint now) {
  busy_ = false;
  for (Place& place : places_) place.kept_from = now;
}

}  // namespace uhd
