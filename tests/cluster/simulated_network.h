// Simulates a network in one thread with a clock of its own: the test chooses every order of events, and no
// time passes.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "cluster/encoders/network.h"

namespace uhd {

class SimulatedConnection;

// All simulated networks share one Simulation.
class Simulation : public std::enable_shared_from_this<Simulation> {
 public:
  static constexpr int kFirstPort = 1000;

  // Returns the end of one process: servers and clients own one each.
  std::unique_ptr<Network> network(const std::string& host);

  // Runs everything that is ready, without letting time pass.
  void settle();
  // Lets time pass, timer by timer.
  void advance(Duration time);
  TimePoint now() const { return now_; }

  // Loses everything that this host sends and should hear, without anyone being told: it simulates a pulled
  // cable or a stopped process.
  void freeze(const std::string& host) { frozen_.insert(host); }
  void thaw(const std::string& host) { frozen_.erase(host); }
  // Breaks every connection of this host, as when a process dies.
  void cut(const std::string& host);

  // Forgets everything that has not happened yet. It is the last call, after the networks have gone, because
  // waiting functions hold connections, and these hold the simulation.
  void end();

  int connections_made = 0;

 private:
  friend class SimulatedNetwork;
  friend class SimulatedConnection;

  std::deque<std::function<void()>> ready_;
  std::multimap<TimePoint, std::function<void()>> timers_;
  std::map<int, std::function<void(std::shared_ptr<SimulatedConnection>)>> listeners_;
  std::vector<std::weak_ptr<SimulatedConnection>> connections_;
  std::set<std::string> frozen_;
  TimePoint now_{};
  int next_port_ = kFirstPort;
};

}  // namespace uhd
