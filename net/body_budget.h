// Bounds the memory of requests that are being received or read. Bytes are counted as they arrive and until
// they are freed, never by the claim of a header, and are shared so that no client can keep all the memory.
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "base/clock.h"

namespace uhd {

// A BodyBudget is thread-safe and held by a shared_ptr. When arriving bytes find no room, the unfinished body
// that has held the most memory for the longest time gives way: a body of the same client if that client's
// share is used up, else of any client.
class BodyBudget : public std::enable_shared_from_this<BodyBudget> {
  struct Entry;
  using Entries = std::list<Entry>;

 public:
  BodyBudget(int64_t total, int64_t per_client) : total_(total), per_client_(per_client) {}
  BodyBudget(const BodyBudget&) = delete;
  BodyBudget& operator=(const BodyBudget&) = delete;

  // A Hold is some bytes of one client; it gives them back when destroyed. One thread at a time uses it.
  class Hold {
   public:
    Hold(std::shared_ptr<BodyBudget> budget, Entries::iterator entry)
        : budget_(std::move(budget)), entry_(entry) {}
    ~Hold() { budget_->leave(entry_); }
    Hold(const Hold&) = delete;
    Hold& operator=(const Hold&) = delete;

    // Sets the bytes held from now on. Returns false when there is no room for them, or this body was asked
    // to give way.
    bool grow_to(int64_t bytes) { return budget_->grow(entry_, bytes); }
    // Says that the body is complete: it will soon be read, and is not asked to give way any more.
    void settle() { budget_->settle(entry_); }

   private:
    const std::shared_ptr<BodyBudget> budget_;
    const Entries::iterator entry_;
  };

  // Returns the hold of a body that begins to arrive. `give_way` is called at most once, from any thread, and
  // must not wait: it asks that this body end soon, and its bytes are not counted any more.
  std::unique_ptr<Hold> receive(const std::string& client, std::function<void()> give_way);
  // Returns a hold on bytes that are there already, and were counted as part of a body before.
  std::unique_ptr<Hold> keep(const std::string& client, int64_t bytes);
  int64_t held() const;

 private:
  struct Entry {
    std::string client;
    std::function<void()> give_way;
    TimePoint since;
    int64_t bytes = 0;
    bool unfinished = true;
    bool asked = false;  // asked to give way
  };
  using Callback = std::function<void()>;

  bool grow(Entries::iterator entry, int64_t bytes);
  void settle(Entries::iterator entry);
  void leave(Entries::iterator entry);
  void count(Entry& entry, int64_t bytes);         // needs the lock, like the functions below
  bool over(const Entry& entry) const;             // true if its client's share or the total is exceeded
  Entries::iterator worst(const Entry& newcomer);  // the entry that must give way to it; end() if none

  const int64_t total_;
  const int64_t per_client_;
  mutable std::mutex mutex_;  // guards the members below
  Entries entries_;
  std::map<std::string, int64_t> by_client_;
  int64_t held_ = 0;
};

}  // namespace uhd
