// The leader's book of the visual store that every LLM rank holds: which rows belong to which slice, who
// needs them, and which go first when room is needed. The ranks only do what the plans say.
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <span>
#include <unordered_map>
#include <vector>

#include "base/hash.h"

namespace uhd {

// Not thread-safe; belongs to the engine's thread.
//
// A request reserves all of its rows at once, when their number is known and their slices are not, or it gets
// none: requests never wait for each other's rows in a circle (what else they take, and when, is the
// Scheduler's contract). Each slice is then paid from the reservation as it becomes known, and costs no row
// where the store holds it already. A request holds its slices from acquire() to release(), so that what it
// prefills again after a preemption is still there.
class VisualIndex {
 public:
  enum class State : uint8_t {
    added,     // rows are set aside; the caller has the slice encoded
    expected,  // another request has it encoded
    arrived,   // the store holds it
  };

  explicit VisualIndex(int rows);

  int capacity() const { return capacity_; }
  // Sets rows aside: false when there is no room yet. Slices that nobody holds will give way to them.
  bool reserve(int rows);
  void unreserve(int rows);
  // One hold on a slice of `rows` rows, which were reserved. Slices that nobody holds give way, least
  // recently used first: evicted(rows) is told of each.
  State acquire(const Fingerprint& slice, int rows, const std::function<void(int)>& evicted = nullptr);
  // Gives one hold back. Returns true if nobody wants the slice now and it has not arrived.
  bool release(const Fingerprint& slice);

  // The rows were named in a plan: later plans may read them.
  void arrived(const Fingerprint& slice);
  // It will not come: the entry and its rows are free; holds on it are void.
  void forget(const Fingerprint& slice);

  bool contains(const Fingerprint& slice) const { return entries_.contains(slice); }
  // Store rows in the order of the slice's own rows.
  std::span<const int32_t> rows(const Fingerprint& slice) const;
  int free_rows() const { return static_cast<int>(free_.size()) + capacity_ - given_; }
  int reserved_rows() const { return reserved_; }

  // Throws when a row is lost, belongs to two slices, or is promised twice.
  void check_integrity() const;

 private:
  struct Entry {
    std::vector<int32_t> rows;
    int holds = 0;
    bool arrived = false;
    std::list<Fingerprint>::iterator idle;  // its place in idle_, once it has arrived and nobody holds it
  };
  bool is_idle(const Entry& entry) const { return entry.arrived && entry.holds == 0; }
  void make_idle(const Fingerprint& slice, Entry& entry);
  void end_idle(const Entry& entry);

  int capacity_;
  int reserved_ = 0;           // free and idle rows promised to slices that are not known yet
  int idle_rows_ = 0;          // rows of the slices in idle_
  int given_ = 0;              // rows that were ever taken, the first ones
  std::vector<int32_t> free_;  // of those
  std::unordered_map<Fingerprint, Entry> entries_;
  std::list<Fingerprint> idle_;  // least recently used first
};

}  // namespace uhd
