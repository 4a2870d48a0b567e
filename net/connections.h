// Who is connected. Their number is bounded, and a full house makes room for a newcomer: the connection that
// has kept the server waiting the longest gives way, one of the client that has the most.
#pragma once

#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "base/clock.h"

namespace uhd {

// Thread-safe.
class Connections {
  struct Entry;
  using Entries = std::list<Entry>;

 public:
  explicit Connections(int most) : most_(static_cast<size_t>(most)) {}
  Connections(const Connections&) = delete;
  Connections& operator=(const Connections&) = delete;

  // One connection's place, until it is destroyed. The registry must outlive it.
  class Place {
   public:
    Place(Connections& all, Entries::iterator entry) : all_(all), entry_(entry) {}
    ~Place() { all_.leave(entry_); }
    Place(const Place&) = delete;
    Place& operator=(const Place&) = delete;

    // The next step is the client's, from now on: a request, the rest of one.
    void wait_for_client() { all_.set(entry_, Clock::now()); }
    // The server has something to do for it: it is not asked to give way.
    void work() { all_.set(entry_, std::nullopt); }

   private:
    Connections& all_;
    const Entries::iterator entry_;
  };

  // Empty when the house is full and nobody can give way. `give_way` is called from any thread, and must not
  // wait: the connection ends soon, or calls work() if it has something to do after all.
  std::unique_ptr<Place> enter(const std::string& client, std::function<void()> give_way);
  // Makes room for one more before the house is full, where something else runs short.
  bool make_room();

 private:
  struct Entry {
    std::string client;
    std::function<void()> give_way;
    std::optional<TimePoint> waiting_since;
    bool leaving = false;  // was asked to
  };

  void leave(Entries::iterator entry);
  void set(Entries::iterator entry, std::optional<TimePoint> waiting_since);
  Entry* choose();  // under the lock

  const size_t most_;
  std::mutex mutex_;  // of what follows
  Entries entries_;
  size_t leaving_ = 0;
  std::map<std::string, int> by_client_;
};

}  // namespace uhd
