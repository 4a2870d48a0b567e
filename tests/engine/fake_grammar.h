// A grammar for tests without the plugin: one run of ids, and then the end.
#pragma once

#include <algorithm>
#include <vector>

#include "model/text/grammar.h"

namespace uhd {

class FakeGrammar final : public Grammar {
 public:
  static constexpr int32_t kNone = -1;  // in a run: no token may come

  FakeGrammar(std::vector<int32_t> run, int32_t end, size_t vocabulary, size_t size = 1)
      : run_(std::move(run)), end_(end), vocabulary_(vocabulary), size_(size) {}

  std::unique_ptr<GrammarMatcher> matcher() const override { return std::make_unique<Matcher>(*this); }
  size_t vocabulary() const override { return vocabulary_; }
  size_t bytes() const override { return size_; }

 private:
  class Matcher final : public GrammarMatcher {
   public:
    explicit Matcher(const FakeGrammar& grammar) : grammar_(grammar) {}
    void next(std::span<int32_t> mask) override {
      std::fill(mask.begin(), mask.end(), 0);
      if (wanted() == kNone) return;
      const auto id = static_cast<size_t>(wanted());
      mask[id / 32] |= static_cast<int32_t>(1U << (id % 32));
    }
    bool accept(int32_t id) override {
      if (ended() || id != wanted()) return false;
      ++at_;
      return true;
    }
    bool ended() const override { return at_ > grammar_.run_.size(); }

   private:
    int32_t wanted() const { return at_ < grammar_.run_.size() ? grammar_.run_[at_] : grammar_.end_; }
    const FakeGrammar& grammar_;
    size_t at_ = 0;
  };

  const std::vector<int32_t> run_;
  const int32_t end_;
  const size_t vocabulary_;
  const size_t size_;
};

}  // namespace uhd
