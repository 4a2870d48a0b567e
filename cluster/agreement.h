// What ranks must have in common, setting by setting, so that an error can name the one that differs.
#pragma once

#include <string>
#include <vector>

#include "cluster/communicator.h"

namespace uhd {

// A setting by its name in the configuration, and what it came to on this rank: a word, a number, or the
// fingerprint of something long.
struct Fact {
  std::string name;
  std::string value;
  bool operator==(const Fact&) const = default;
};
using Facts = std::vector<Fact>;

template <class A>
void serialize(A& a, Fact& fact) {
  a(fact.name, fact.value);
}

// What differs, in words: "model.dtype is bf16 on rank 0 and f32 on rank 1; ...". Empty where nothing does.
std::string difference(const Facts& a, const std::string& of_a, const Facts& b, const std::string& of_b);

// Collective over the group, which is of host memory. Where any rank's facts differ from rank 0's, every rank
// throws an Error that names what differs and where.
void agree_on(const Facts& facts, Communicator& group);

}  // namespace uhd
