#include "engine/slices/visual_index.h"

#include <set>

#include "base/error.h"

namespace uhd {

VisualIndex::VisualIndex(int rows) : capacity_(rows) {
  check(rows >= 0, "a visual store cannot have ", rows, " rows");
  free_.reserve(static_cast<size_t>(rows));
  for (int32_t row = rows - 1; row >= 0; --row) free_.push_back(row);
}

std::optional<std::vector<VisualIndex::State>> VisualIndex::acquire(std::span<const Piece> pieces) {
  const int missing = missing_rows(pieces);
  if (missing > static_cast<int>(free_.size()) + idle_rows_besides(pieces)) return std::nullopt;
  std::vector<State> states;
  states.reserve(pieces.size());
  // First those that are here, so that eviction cannot take them.
  for (const Piece& piece : pieces) {
    const auto found = entries_.find(piece.fingerprint);
    if (found == entries_.end()) {
      states.push_back(State::added);
      continue;
    }
    hold(found->second);
    states.push_back(found->second.arrived ? State::arrived : State::expected);
  }
  for (size_t i = 0; i < pieces.size(); ++i) {
    if (states[i] != State::added) continue;
    const auto [at, is_new] = entries_.try_emplace(pieces[i].fingerprint);
    Entry& entry = at->second;
    ++entry.holds;
    if (!is_new) {  // the same slice twice in one request
      states[i] = State::expected;
      continue;
    }
    while (static_cast<int>(free_.size()) < pieces[i].rows) evict_oldest();
    entry.rows.assign(free_.end() - pieces[i].rows, free_.end());
    free_.resize(free_.size() - static_cast<size_t>(pieces[i].rows));
  }
  return states;
}

bool VisualIndex::release(const Fingerprint& fingerprint) {
  const auto found = entries_.find(fingerprint);
  if (found == entries_.end()) return false;
  Entry& entry = found->second;
  check(entry.holds > 0, "a slice was released more often than acquired");
  if (--entry.holds > 0) return false;
  if (!entry.arrived) return true;
  entry.idle = idle_.insert(idle_.end(), fingerprint);
  return false;
}

void VisualIndex::arrived(const Fingerprint& fingerprint) {
  Entry& entry = entries_.at(fingerprint);
  check(!entry.arrived, "a slice arrived twice");
  entry.arrived = true;
  if (entry.holds == 0) entry.idle = idle_.insert(idle_.end(), fingerprint);
}

void VisualIndex::forget(const Fingerprint& fingerprint) {
  const auto found = entries_.find(fingerprint);
  if (found == entries_.end()) return;
  Entry& entry = found->second;
  if (entry.arrived && entry.holds == 0) idle_.erase(entry.idle);
  free_.insert(free_.end(), entry.rows.begin(), entry.rows.end());
  entries_.erase(found);
}

std::span<const int32_t> VisualIndex::rows(const Fingerprint& fingerprint) const {
  return entries_.at(fingerprint).rows;
}

void VisualIndex::check_integrity() const {
  std::set<int32_t> seen(free_.begin(), free_.end());
  size_t counted = free_.size();
  size_t idle = 0;
  for (const auto& [fingerprint, entry] : entries_) {
    seen.insert(entry.rows.begin(), entry.rows.end());
    counted += entry.rows.size();
    idle += entry.arrived && entry.holds == 0 ? 1 : 0;
  }
  check(seen.size() == counted, "a visual row has two owners");
  check(counted == static_cast<size_t>(capacity_), "visual rows are lost");
  check(idle == idle_.size(), "idle slices are miscounted");
}

int VisualIndex::missing_rows(std::span<const Piece> pieces) const {
  std::set<Fingerprint> counted;
  int missing = 0;
  for (const Piece& piece : pieces) {
    const auto found = entries_.find(piece.fingerprint);
    if (found != entries_.end()) {
      check(found->second.rows.size() == static_cast<size_t>(piece.rows), "equal slices differ in rows");
    } else if (counted.insert(piece.fingerprint).second) {
      missing += piece.rows;
    }
  }
  return missing;
}

int VisualIndex::idle_rows_besides(std::span<const Piece> pieces) const {
  std::set<Fingerprint> wanted;
  for (const Piece& piece : pieces) wanted.insert(piece.fingerprint);
  int rows = 0;
  for (const Fingerprint& fingerprint : idle_) {
    if (!wanted.contains(fingerprint)) rows += static_cast<int>(entries_.at(fingerprint).rows.size());
  }
  return rows;
}

void VisualIndex::hold(Entry& entry) {
  if (entry.holds++ == 0 && entry.arrived) idle_.erase(entry.idle);
}

void VisualIndex::evict_oldest() {
  check(!idle_.empty(), "no slice can give way");
  forget(Fingerprint(idle_.front()));
}

}  // namespace uhd
