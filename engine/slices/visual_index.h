// The leader's book of the visual store that every LLM rank holds: which rows belong to which slice, who
// needs them, and which go first when room is needed. The ranks only do what the plans say.
#pragma once

#include <cstdint>
#include <list>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "base/hash.h"

namespace uhd {

// Not thread-safe; belongs to the engine's thread. A request holds all rows of its slices from acquire() to
// release(), so what it prefills again after a preemption is still there. A request gets all of its
// rows or none, so that requests never wait for each other's rows in a circle; what else they take, and when,
// is the Scheduler's contract.
class VisualIndex {
 public:
  struct Piece {
    Fingerprint fingerprint;
    int rows = 0;
  };
  enum class State : uint8_t {
    added,     // rows are reserved; the caller has it encoded
    expected,  // another request has it encoded
    arrived,   // the store holds it
  };

  explicit VisualIndex(int rows);

  int capacity() const { return capacity_; }
  // One hold on each piece (equal pieces are held as often as they occur), or nothing when there is no room
  // yet: least recently used slices that nobody holds give way.
  std::optional<std::vector<State>> acquire(std::span<const Piece> pieces);
  // Gives one hold back. True if nobody wants the slice now and it has not arrived.
  bool release(const Fingerprint& fingerprint);

  // The rows were named in a plan: later plans may read them.
  void arrived(const Fingerprint& fingerprint);
  // It will not come: the entry and its rows are free; holds on it are void.
  void forget(const Fingerprint& fingerprint);

  bool contains(const Fingerprint& fingerprint) const { return entries_.contains(fingerprint); }
  // Store rows in the order of the slice's own rows.
  std::span<const int32_t> rows(const Fingerprint& fingerprint) const;
  int free_rows() const { return static_cast<int>(free_.size()); }

  // Throws when a row is lost or belongs to two slices.
  void check_integrity() const;

 private:
  struct Entry {
    std::vector<int32_t> rows;
    int holds = 0;
    bool arrived = false;
    std::list<Fingerprint>::iterator idle;  // in idle_, when nobody holds it and it has arrived
  };
  int missing_rows(std::span<const Piece> pieces) const;
  int idle_rows_besides(std::span<const Piece> pieces) const;
  void hold(Entry& entry);
  void evict_oldest();

  int capacity_;
  std::vector<int32_t> free_;
  std::unordered_map<Fingerprint, Entry> entries_;
  std::list<Fingerprint> idle_;  // least recently used first
};

}  // namespace uhd
