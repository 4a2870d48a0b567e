#include "engine/slices/visual_index.h"

#include <algorithm>
#include <set>

#include "base/error.h"

namespace uhd {

VisualIndex::VisualIndex(int rows) : capacity_(rows) {
  check(rows >= 0, "a visual store cannot have ", rows, " rows");
  free_.reserve(static_cast<size_t>(rows));
}

bool VisualIndex::reserve(int rows) {
  if (reserved_ + rows > free_rows() + idle_rows_) return false;
  reserved_ += rows;
  return true;
}

void VisualIndex::unreserve(int rows) {
  check(rows <= reserved_, "rows are given back that nobody reserved");
  reserved_ -= rows;
}

VisualIndex::State VisualIndex::acquire(const Fingerprint& slice, int rows,
                                        const std::function<void(int)>& evicted) {
  const auto [at, added] = entries_.try_emplace(slice);
  Entry& entry = at->second;
  check(added || entry.rows.size() == static_cast<size_t>(rows), "equal slices differ in rows");
  unreserve(rows);
  if (!added) {
    if (is_idle(entry)) end_idle(entry);
    ++entry.holds;
    return entry.arrived ? State::arrived : State::expected;
  }
  entry.holds = 1;
  while (free_rows() < rows) {
    check(!idle_.empty(), "rows that were reserved are not there");
    const Fingerprint oldest = idle_.front();
    if (evicted) evicted(static_cast<int>(entries_.at(oldest).rows.size()));
    forget(oldest);
  }
  const auto again = std::min(free_.size(), static_cast<size_t>(rows));
  entry.rows.assign(free_.end() - static_cast<ptrdiff_t>(again), free_.end());
  free_.resize(free_.size() - again);
  while (entry.rows.size() < static_cast<size_t>(rows)) entry.rows.push_back(given_++);
  return State::added;
}

bool VisualIndex::release(const Fingerprint& slice) {
  const auto found = entries_.find(slice);
  if (found == entries_.end()) return false;
  Entry& entry = found->second;
  check(entry.holds > 0, "a slice was released more often than acquired");
  if (--entry.holds > 0) return false;
  if (!entry.arrived) return true;
  make_idle(slice, entry);
  return false;
}

void VisualIndex::arrived(const Fingerprint& slice) {
  Entry& entry = entries_.at(slice);
  check(!entry.arrived, "a slice arrived twice");
  entry.arrived = true;
  if (entry.holds == 0) make_idle(slice, entry);
}

void VisualIndex::forget(const Fingerprint& slice) {
  const auto found = entries_.find(slice);
  if (found == entries_.end()) return;
  Entry& entry = found->second;
  if (is_idle(entry)) end_idle(entry);
  free_.insert(free_.end(), entry.rows.begin(), entry.rows.end());
  entries_.erase(found);
}

std::span<const int32_t> VisualIndex::rows(const Fingerprint& slice) const { return entries_.at(slice).rows; }

void VisualIndex::check_integrity() const {
  std::set<int32_t> seen(free_.begin(), free_.end());
  size_t counted = free_.size() + static_cast<size_t>(capacity_ - given_);
  size_t idle = 0, idle_rows = 0;
  for (const auto& [slice, entry] : entries_) {
    seen.insert(entry.rows.begin(), entry.rows.end());
    counted += entry.rows.size();
    if (!is_idle(entry)) continue;
    ++idle;
    idle_rows += entry.rows.size();
  }
  check(seen.size() == static_cast<size_t>(given_), "a visual row has two owners");
  check(counted == static_cast<size_t>(capacity_), "visual rows are lost");
  check(idle == idle_.size() && idle_rows == static_cast<size_t>(idle_rows_), "idle slices are miscounted");
  check(reserved_ <= free_rows() + idle_rows_, "more rows are promised than can be given");
}

void VisualIndex::make_idle(const Fingerprint& slice, Entry& entry) {
  entry.idle = idle_.insert(idle_.end(), slice);
  idle_rows_ += static_cast<int>(entry.rows.size());
}

void VisualIndex::end_idle(const Entry& entry) {
  idle_.erase(entry.idle);
  idle_rows_ -= static_cast<int>(entry.rows.size());
}

}  // namespace uhd
