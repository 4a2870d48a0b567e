// Remembers which slices pictures became, so that a picture that comes again is known before it is decoded.
#pragma once

#include <list>
#include <mutex>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/hash.h"
#include "model/vision/slice_plan.h"

namespace uhd {

// Returns the name of an encoded picture that is cut by this plan, for those whom the salt stands for. All
// else that decides its slices is the same for the whole process.
Fingerprint cut_name(std::string_view picture, const SlicePlan& plan, std::string_view salt);

// Thread-safe. The pictures that were cut least recently are forgotten first; a look is no use.
class KnownCuts {
 public:
  static constexpr size_t kMostPieces = 32768;  // of all pictures: some MiB at most

  explicit KnownCuts(size_t most_pieces = kMostPieces) : most_pieces_(most_pieces) {}

  // The picture became these pieces, in the order of its plan.
  void add(const Fingerprint& cut, std::vector<Fingerprint> pieces);
  // Returns its pieces, or nothing if it is not known.
  std::vector<Fingerprint> find(const Fingerprint& cut) const;

 private:
  struct Known {
    Fingerprint cut;
    std::vector<Fingerprint> pieces;
  };
  using Order = std::list<Known>;  // the most recently cut first
  void forget(Order::iterator known);

  size_t most_pieces_;
  mutable std::mutex mutex_;
  size_t pieces_ = 0;
  Order order_;
  std::unordered_map<Fingerprint, Order::iterator> known_;
};

}  // namespace uhd
