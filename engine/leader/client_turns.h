// The turns of clients at what serves one at a time, for callers who do not wait long: who is told to come
// back keeps its place meanwhile.
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
  static constexpr Duration kKept = std::chrono::seconds(2);
  static constexpr size_t kMostPlaces = 64;

  // The client has a place from now on, if there is one. Returns true if it may begin.
  bool ask(const std::string& client, TimePoint now);
  // Returns true if nobody comes before the client, who asked, but the one that is served now.
  bool is_next(const std::string& client) const { return is_first(client) && client != last_; }
  // The client needs its place no more.
  void leave(const std::string& client);
  // The client is served, until end().
  void begin(const std::string& client);
  void end(TimePoint now);

 private:
  struct Place {
    std::string client;
    TimePoint kept_from;
  };
  bool is_first(const std::string& client) const;

  std::list<Place> places_;  // the next goes first
  std::string last_;         // the client that was served last: its place is the last one
  bool busy_ = false;
};

}  // namespace uhd
