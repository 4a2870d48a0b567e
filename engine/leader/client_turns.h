// The turns of clients at what serves one at a time, for callers who do not block: who is told to ask again
// keeps its place meanwhile.
#pragma once

#include <cstddef>
#include <list>
#include <string>

#include "base/clock.h"

namespace uhd {

// A client has one place, however often it asks, and the one that was served last stands behind all others,
// also those who come later. A place lapses when its client does not ask for kKept while nobody is served.
// Not thread-safe.
class ClientTurns {
 public:
  static constexpr Duration kKept = std::chrono::seconds(1);
  static constexpr size_t kMostPlaces = 64;

  // Returns true if the client may begin. If not, it has a place from now on, unless none is left.
  bool ask(const std::string& client, TimePoint now);
  // Returns true if no other client's place is before this one's.
  bool is_first(const std::string& client) const {
    return places_.empty() || places_.front().client == client;
  }
  // The client is served, until end().
  void begin(const std::string& client);
  void end(TimePoint now);

 private:
  struct Place {
    std::string client;
    TimePoint kept_from;
  };
  std::list<Place> places_;  // the next goes first
  std::string behind_;       // the client whose place is behind all others, because it has been served
  bool busy_ = false;
};

}  // namespace uhd
