// The turns of clients at what serves one at a time, for callers who do not wait long: who is told to come
// back keeps its place meanwhile.
#pragma once

#include <cstddef>
#include <list>
#include <optional>
#include <string>

#include "base/clock.h"

namespace uhd {

// A client has one place, however often it asks, and stands behind all others when it was served. A place
// lapses when its client does not ask for kKept while nobody is served. Not thread-safe.
class ClientTurns {
 public:
  static constexpr Duration kKept = std::chrono::seconds(3);
  static constexpr size_t kMostPlaces = 64;

  // The client has a place from now on, if there is one. Returns true if it may begin.
  bool ask(const std::string& client, TimePoint now);
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
  std::list<Place> places_;  // the next goes first
  std::optional<std::string> served_;
};

}  // namespace uhd
