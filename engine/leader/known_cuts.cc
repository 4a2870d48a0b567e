#include "engine/leader/known_cuts.h"

#include <iterator>
#include <type_traits>

namespace uhd {

Fingerprint cut_name(std::string_view picture, const SlicePlan& plan, std::string_view salt) {
  static_assert(std::has_unique_object_representations_v<SlicePlan>, "its bytes are its value");
  return fingerprint({bytes_of(salt), bytes_of(plan), bytes_of(picture)});
}

void KnownCuts::add(const Fingerprint& cut, std::vector<Fingerprint> pieces) {
  if (pieces.size() > most_pieces_) return;
  const std::lock_guard lock(mutex_);
  if (const auto known = known_.find(cut); known != known_.end()) forget(known->second);
  while (pieces_ + pieces.size() > most_pieces_) forget(std::prev(order_.end()));
  pieces_ += pieces.size();
  order_.push_front({cut, std::move(pieces)});
  known_.emplace(cut, order_.begin());
}

std::vector<Fingerprint> KnownCuts::find(const Fingerprint& cut) const {
  const std::lock_guard lock(mutex_);
  const auto known = known_.find(cut);
  return known == known_.end() ? std::vector<Fingerprint>() : known->second->pieces;
}

void KnownCuts::forget(Order::iterator known) {
  pieces_ -= known->pieces.size();
  known_.erase(known->cut);
  order_.erase(known);
}

}  // namespace uhd
