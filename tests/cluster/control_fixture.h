// Makes a leader and an encoder for tests of the control channel.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>
#include <functional>
#include <iterator>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cluster/encoders/control_client.h"
#include "cluster/encoders/control_server.h"

namespace uhd {

inline Hello hello_for(const std::string& model) {
  Hello hello;
  hello.facts = {{"model.path", model}};
  hello.backend = "cpu";
  hello.host = "here";
  return hello;
}

inline EncodeJob job_of(uint64_t job) {
  EncodeJob m;
  m.job = job;
  m.fingerprint = {job, 7};
  m.width = 28;
  m.height = 14;
  m.pixels.assign(28 * 14 * 3, static_cast<uint8_t>(job));
  m.deadline_ms = 1000;
  return m;
}

// Takes events one at a time, in order. `more` fetches new ones: it polls a server or client, or turns a
// simulation.
template <class Event>
class Events {
 public:
  explicit Events(std::function<std::vector<Event>()> more) : more_(std::move(more)) {}

  // Returns the next event, which must be of this kind. If nothing comes, that is a failure and an empty
  // result.
  template <class What>
  std::optional<What> next(int attempts = 1) {
    for (int i = 0; i < attempts && pending_.empty(); ++i) fetch();
    if (pending_.empty()) {
      ADD_FAILURE() << "no event came";
      return std::nullopt;
    }
    last_ = std::move(pending_.front());
    pending_.pop_front();
    What* what = std::get_if<What>(&last_->what);
    if (what == nullptr) {
      ADD_FAILURE() << "an event of kind " << last_->what.index() << " came";
      return std::nullopt;
    }
    return std::move(*what);
  }
  // Works like next(), but passes over heartbeats and all other kinds.
  template <class What>
  std::optional<What> find(int attempts = 1) {
    for (int i = 0; i <= attempts; ++i) {
      if (i > 0) fetch();
      while (!pending_.empty()) {
        last_ = std::move(pending_.front());
        pending_.pop_front();
        if (What* what = std::get_if<What>(&last_->what)) return std::move(*what);
      }
    }
    ADD_FAILURE() << "no such event came";
    return std::nullopt;
  }
  bool none() {
    fetch();
    return pending_.empty();
  }
  // Returns the event that next() or find() gave last.
  const Event& last() const { return *last_; }

 private:
  void fetch() {
    auto events = more_();
    pending_.insert(pending_.end(), std::make_move_iterator(events.begin()),
                    std::make_move_iterator(events.end()));
  }

  std::function<std::vector<Event>()> more_;
  std::deque<Event> pending_;
  std::optional<Event> last_;
};

}  // namespace uhd
