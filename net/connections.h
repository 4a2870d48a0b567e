// Registers who is connected. The number of connections is bounded, and a full registry makes room for a
// newcomer: the connection that has kept the server waiting the longest gives way, chosen from the client
// that has the most.
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

// Connections is thread-safe.
class Connections {
  struct Entry;
  using Entries = std::list<Entry>;

 public:
  explicit Connections(int most) : most_(static_cast<size_t>(most)) {}
  Connections(const Connections&) = delete;
  Connections& operator=(const Connections&) = delete;

  // A Place stands for one connection until it is destroyed. The registry must outlive it.
  class Place {
   public:
    Place(Connections& all, Entries::iterator entry) : all_(all), entry_(entry) {}
    ~Place() { all_.leave(entry_); }
    Place(const Place&) = delete;
    Place& operator=(const Place&) = delete;

    // Says that from now on the server waits for the client: for a request, or for the rest of one.
    void wait_for_client() { all_.set(entry_, Clock::now()); }
    // Says that the server has work to do for the connection, which is then not asked to give way.
    void work() { all_.set(entry_, std::nullopt); }

   private:
    Connections& all_;
    const Entries::iterator entry_;
  };

  // Returns a place, or null when the registry is full and nobody can give way. `give_way` is called from any
  // thread, and must not wait: the connection ends soon, or calls work() if it has work after all.
  std::unique_ptr<Place> enter(const std::string& client, std::function<void()> give_way);
  // Makes room for one more before the registry is full, when another resource runs short.
  bool make_room();

 private:
  struct Entry {
    std::string client;
    std::function<void()> give_way;
    std::optional<TimePoint> waiting_since;
    bool leaving = false;  // was asked to leave
  };

  void leave(Entries::iterator entry);
  void set(Entries::iterator entry, std::optional<TimePoint> waiting_since);
  Entry* choose();  // needs the lock

  const size_t most_;
  std::mutex mutex_;  // guards the members below
  Entries entries_;
  size_t leaving_ = 0;
  std::map<std::string, int> by_client_;
};

}  // namespace uhd
