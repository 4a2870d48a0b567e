#include "engine/leader/client_turns.h"

#include <algorithm>

namespace uhd {

bool ClientTurns::ask(const std::string& client, TimePoint now) {
  if (!served_) {
    std::erase_if(places_, [&](const Place& p) { return p.client != client && p.kept_from + kKept < now; });
  }
  const auto own = std::ranges::find(places_, client, &Place::client);
  if (own != places_.end()) {
    own->kept_from = now;
  } else if (places_.size() < kMostPlaces) {
    places_.push_back({client, now});
  }
  return !served_ && places_.front().client == client;
}

void ClientTurns::leave(const std::string& client) {
  std::erase_if(places_, [&](const Place& p) { return p.client == client; });
}

void ClientTurns::begin(const std::string& client) {
  leave(client);
  served_ = client;
}

void ClientTurns::end(TimePoint now) {
  for (Place& place : places_) place.kept_from = now;
  const auto again = std::ranges::find(places_, *served_, &Place::client);
  if (again != places_.end()) places_.splice(places_.end(), places_, again);
  served_.reset();
}

}  // namespace uhd
