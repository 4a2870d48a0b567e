// All that waits is taken by the rule that also orders steps: the best level first (level_of), within it
// clients take turns by cost (FairTurns), and a client's own in order of level, then of age, then of arrival.
#pragma once

#include <algorithm>
#include <climits>
#include <deque>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/fair_turns.h"
#include "base/urgency.h"

namespace uhd {

// A Turns is not thread-safe. Each client has a line, which is never empty. Costs are in the caller's unit,
// and positive.
template <class T>
class Turns {
 public:
  bool empty() const { return lines_.empty(); }
  size_t size() const {
    size_t all = 0;
    for (const Line& line : lines_) all += line.entries.size();
    return all;
  }
  void push(const std::string& client, const Urgency& urgency, double cost, T value) {
    line_of(client).push_back({std::move(value), urgency, cost});
    turns_.enter(client);
  }
  // Returns what goes next, which stays so until it is taken out or erased, or something of another level is
  // there. There must be something.
  const T& front(TimePoint now) { return next(now, anything)->first->value; }
  // Takes the front out and charges its client.
  T take(TimePoint now) { return take_out(*next(now, anything)); }
  // Takes out what goes next among those for which fits(value) holds, or nothing.
  template <class Fits>
  std::optional<T> take(TimePoint now, const Fits& fits) {
    Line* line = next(now, fits);
    return line == nullptr ? std::nullopt : std::optional<T>(take_out(*line));
  }
  // Those for which predicate(value) holds go no later than something of this urgency would, nor later than
  // they would have: the better priority counts, and the longer wait.
  template <class Predicate>
  void hasten(const Urgency& urgency, const Predicate& predicate) {
    for (Line& line : lines_) {
      for (Entry& entry : line.entries) {
        if (!predicate(entry.value)) continue;
        entry.urgency = {std::min(urgency.priority, entry.urgency.priority),
                         std::min(urgency.since, entry.urgency.since)};
      }
    }
  }
  // Returns how many were erased.
  template <class Predicate>
  size_t erase_if(const Predicate& predicate) {
    size_t all = 0;
    for (Line& line : lines_) {
      const size_t gone = std::erase_if(line.entries, [&](const Entry& e) { return predicate(e.value); });
      for (size_t i = 0; i < gone; ++i) turns_.leave(line.client);
      all += gone;
    }
    std::erase_if(lines_, [](const Line& line) { return line.entries.empty(); });
    return all;
  }

 private:
  struct Entry {
    T value;
    Urgency urgency;
    double cost = 0;
  };
  struct Line {
    std::string client;
    std::deque<Entry> entries;
    // The entry that goes first by the look under way, and its level.
    typename std::deque<Entry>::iterator first{};
    int level = FairTurns::kNothing;
  };
  static bool anything(const T&) { return true; }
  // Returns the place of the client's line, where it is or would be.
  auto place_of(const std::string& client) {
    return std::ranges::lower_bound(lines_, client, {}, &Line::client);
  }
  std::deque<Entry>& line_of(const std::string& client) {
    const auto at = place_of(client);
    if (at != lines_.end() && at->client == client) return at->entries;
    return lines_.insert(at, Line{client, {}})->entries;
  }
  // Returns the line whose first goes next, or null if nothing fits.
  template <class Fits>
  Line* next(TimePoint now, const Fits& fits) {
    int best = INT_MAX;
    for (const Line& line : lines_) {
      for (const Entry& entry : line.entries) best = std::min(best, entry.urgency.priority);
    }
    for (Line& line : lines_) find_first(line, now, best, fits);
    const std::string* client =
        turns_.choose_by_level([&](const std::string& name) { return place_of(name)->level; });
    return client == nullptr ? nullptr : &*place_of(*client);
  }
  template <class Fits>
  static void find_first(Line& line, TimePoint now, int best, const Fits& fits) {
    line.level = FairTurns::kNothing;
    for (auto at = line.entries.begin(); at != line.entries.end(); ++at) {
      if (!fits(at->value)) continue;
      const int level = level_of(at->urgency, now, best);
      const bool before =
          level < line.level || (level == line.level && at->urgency.since < line.first->urgency.since);
      if (!before) continue;
      line.first = at;
      line.level = level;
    }
  }
  T take_out(Line& line) {
    Entry entry = std::move(*line.first);
    line.entries.erase(line.first);
    turns_.charge(line.client, entry.cost);
    turns_.leave(line.client);
    if (line.entries.empty()) std::erase_if(lines_, [](const Line& l) { return l.entries.empty(); });
    return std::move(entry.value);
  }

  FairTurns turns_{1};       // the least that can be: one who has been given something waits for the others
  std::vector<Line> lines_;  // in the order of their clients' names
};

}  // namespace uhd
