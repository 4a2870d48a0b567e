// Clients take turns by cost: each has a line of its own, and who has been given least goes next (FairTurns).
#pragma once

#include <algorithm>
#include <deque>
#include <string>
#include <utility>
#include <vector>

#include "base/fair_turns.h"

namespace uhd {

// A Turns is not thread-safe. A line is never empty. Costs are in the caller's unit, and positive.
template <class T>
class Turns {
 public:
  bool empty() const { return lines_.empty(); }
  size_t size() const {
    size_t all = 0;
    for (const Line& line : lines_) all += line.entries.size();
    return all;
  }
  void push(const std::string& client, double cost, T value) {
    line_of(client).push_back({std::move(value), cost});
    turns_.enter(client);
  }
  // Returns what goes next, which stays so until it is taken out or erased. There must be something.
  const T& front() { return next()->entries.front().value; }
  // Takes the front out and charges its client.
  T take() {
    const auto line = next();
    Entry entry = std::move(line->entries.front());
    line->entries.pop_front();
    turns_.charge(line->client, entry.cost);
    turns_.leave(line->client);
    if (line->entries.empty()) lines_.erase(line);
    return std::move(entry.value);
  }
  template <class Predicate>
  void erase_if(const Predicate& predicate) {
    for (Line& line : lines_) {
      const size_t gone = std::erase_if(line.entries, [&](const Entry& e) { return predicate(e.value); });
      for (size_t i = 0; i < gone; ++i) turns_.leave(line.client);
    }
    std::erase_if(lines_, [](const Line& line) { return line.entries.empty(); });
  }

 private:
  struct Entry {
    T value;
    double cost = 0;
  };
  struct Line {
    std::string client;
    std::deque<Entry> entries;
  };
  std::deque<Entry>& line_of(const std::string& client) {
    for (Line& line : lines_) {
      if (line.client == client) return line.entries;
    }
    return lines_.emplace_back(Line{client, {}}).entries;
  }
  typename std::vector<Line>::iterator next() {
    const std::string* client = turns_.choose([](const std::string&) { return true; });
    return std::ranges::find(lines_, *client, &Line::client);
  }

  FairTurns turns_{1};  // the least that can be: one who has been given something waits for the others
  std::vector<Line> lines_;
};

}  // namespace uhd
