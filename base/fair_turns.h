// Deficit round robin between clients: who has had less than its share of what is given out goes next. It is
// plain arithmetic, and knows no time.
#pragma once

#include <algorithm>
#include <climits>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

namespace uhd {

// Every client that has something here has a balance, in the caller's units of cost, and goes next only while
// it is positive. When it is for none of those that want something, all that are here get the quantum. A
// newcomer begins behind the others with nothing, so however many come, each round ends and nobody starves. A
// client that leaves is forgotten with its debt, so that the list is never longer than what is here.
//
// Not thread-safe. References to clients hold until the next call that is not const.
class FairTurns {
 public:
  // A client saves up no more than the quantum, and owes at most `most_debt`; what it had beyond is
  // forgotten.
  explicit FairTurns(double quantum, double most_debt = INFINITY)
      : quantum_(quantum), most_debt_(most_debt) {}

  // One more thing of the client's is here.
  void enter(const std::string& client) {
    if (Account* known = find(client)) {
      ++known->things;
    } else {
      accounts_.push_back({client, 1, 0});
    }
  }
  // One thing of the client's has gone.
  void leave(const std::string& client) {
    const auto at = std::ranges::find(accounts_, client, &Account::client);
    if (at != accounts_.end() && --at->things == 0) accounts_.erase(at);
  }
  // Something was given to the client. One that has spent its balance goes behind the others.
  void charge(const std::string& client, double cost) {
    const auto at = std::ranges::find(accounts_, client, &Account::client);
    if (at == accounts_.end()) return;
    const bool had = at->balance > 0;
    at->balance = std::max(at->balance - cost, -most_debt_);
    if (had && at->balance <= 0) std::rotate(at, at + 1, accounts_.end());
  }
  // Returns the client whose turn it is among those for whom wants(client) holds, or null if there is none.
  template <class Wants>
  const std::string* choose(const Wants& wants) {
    double least_debt = INFINITY;
    for (const Account& account : accounts_) {
      if (!wants(account.client)) continue;
      if (account.balance > 0) return &account.client;
      least_debt = std::min(least_debt, -account.balance);
    }
    if (std::isinf(least_debt)) return nullptr;
    const double given = (std::floor(least_debt / quantum_) + 1) * quantum_;
    for (Account& account : accounts_) account.balance = std::min(account.balance + given, quantum_);
    return choose(wants);
  }
  // The level of a client that wants nothing.
  static constexpr int kNothing = INT_MAX;
  // Returns the client whose turn it is among those on the best level, the lowest; null if nobody wants
  // anything. `level` gives that of what a client wants first.
  template <class Level>
  const std::string* choose_by_level(const Level& level) {
    int best = kNothing;
    for (const Account& account : accounts_) best = std::min(best, level(account.client));
    if (best == kNothing) return nullptr;
    return choose([&](const std::string& client) { return level(client) == best; });
  }
  // Returns what the client may still be given before others go; 0 of a client that is not here.
  double balance(const std::string& client) const {
    const auto at = std::ranges::find(accounts_, client, &Account::client);
    return at == accounts_.end() ? 0 : at->balance;
  }
  // Returns how far the client that was given most is beyond its share.
  double deepest_debt() const {
    double debt = 0;
    for (const Account& account : accounts_) debt = std::max(debt, -account.balance);
    return debt;
  }

 private:
  struct Account {
    std::string client;
    int64_t things = 0;
    double balance = 0;
  };
  Account* find(const std::string& client) {
    const auto at = std::ranges::find(accounts_, client, &Account::client);
    return at == accounts_.end() ? nullptr : &*at;
  }

  double quantum_;
  double most_debt_;
  std::vector<Account> accounts_;  // the first is the first to go
};

}  // namespace uhd
