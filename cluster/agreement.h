// Compares the settings that ranks must have in common, one by one, so that an error can name the one that
// differs.
#pragma once

#include <string>
#include <vector>

#include "cluster/communicator.h"

namespace uhd {

// A Fact is a setting by its name in the configuration, and its value on this rank: a word, a number, or the
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

// Returns the differences in words: "model.dtype is bf16 on rank 0 and f32 on rank 1; ...". The text is empty
// if there are none.
std::string difference(const Facts& a, const std::string& of_a, const Facts& b, const std::string& of_b);

// Compares the facts of all ranks. The call is collective over the group, which is of host memory. If any
// rank's facts differ from rank 0's, every rank throws an Error that names the setting and the rank.
void agree_on(const Facts& facts, Communicator& group);

}  // namespace uhd
