// Clients take turns: each has a line of its own, and the first of every line goes before the second of any.
#pragma once

#include <deque>
#include <string>
#include <utility>

namespace uhd {

// A Turns is not thread-safe. A line is never empty; the first line is the one whose turn it is.
template <class T>
class Turns {
 public:
  bool empty() const { return lines_.empty(); }
  size_t size() const {
    size_t all = 0;
    for (const Line& line : lines_) all += line.values.size();
    return all;
  }
  void push(const std::string& client, T value) {
    for (Line& line : lines_) {
      if (line.client == client) return line.values.push_back(std::move(value));
    }
    lines_.push_back({client, {}});
    lines_.back().values.push_back(std::move(value));
  }
  const T& front() const { return lines_.front().values.front(); }
  // Takes the front out; its client waits for its next turn.
  T take() {
    Line line = std::move(lines_.front());
    lines_.pop_front();
    T value = std::move(line.values.front());
    line.values.pop_front();
    if (!line.values.empty()) lines_.push_back(std::move(line));
    return value;
  }
  template <class Predicate>
  void erase_if(const Predicate& predicate) {
    for (Line& line : lines_) std::erase_if(line.values, predicate);
    std::erase_if(lines_, [](const Line& line) { return line.values.empty(); });
  }

 private:
  struct Line {
    std::string client;
    std::deque<T> values;
  };
  std::deque<Line> lines_;
};

}  // namespace uhd
