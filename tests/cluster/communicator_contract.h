// States the promises of every Communicator, as functions that each rank of a group calls.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "cluster/communicator.h"

namespace uhd::contract {

// These sizes lie around the limits of the algorithms: none, one, odd, prime, one past a block, around the
// change from small to large (64 KiB), and beyond.
inline std::vector<int64_t> sizes() { return {0, 1, 3, 7, 511, 513, 16384, 16385, 32769, 100003}; }

// Returns the values of one rank, which are the same on every run.
template <class T>
std::vector<T> values(int rank, int64_t n) {
  std::mt19937 random(static_cast<uint32_t>(rank * 7919 + n));
  std::normal_distribution<float> normal(0.f, 3.f);
  std::vector<T> v;
  for (int64_t i = 0; i < n; ++i) v.push_back(static_cast<T>(normal(random)));
  return v;
}

template <class T>
std::vector<uint8_t> bits(const std::vector<T>& v) {
  const auto* p = reinterpret_cast<const uint8_t*>(v.data());
  return {p, p + v.size() * sizeof(T)};
}

// Returns the sum by its definition: in rank order, in f32, rounded once.
template <class T>
std::vector<T> expected_sum(int ranks, int64_t n) {
  std::vector<float> sum;
  for (int r = 0; r < ranks; ++r) {
    const auto x = values<T>(r, n);
    if (r == 0) sum.resize(x.size());
    for (size_t i = 0; i < x.size(); ++i)
      sum[i] = r == 0 ? static_cast<float>(x[i]) : sum[i] + static_cast<float>(x[i]);
  }
  std::vector<T> out;
  for (float s : sum) out.push_back(static_cast<T>(s));
  return out;
}

template <class T>
void all_reduce_is_the_rank_order_sum(Communicator& c) {
  for (int64_t n : sizes()) {
    auto x = values<T>(c.rank(), n);
    c.all_reduce(Tensor::of(x.data(), {n}));
    EXPECT_TRUE(bits(x) == bits(expected_sum<T>(c.size(), n))) << n << " elements, rank " << c.rank();
  }
}

// Every rank's bits go to everyone by all_gather and must be equal there.
template <class T>
void all_ranks_hold_equal_bits(Communicator& c) {
  for (int64_t n : sizes()) {
    auto x = values<T>(c.rank(), n);
    c.all_reduce(Tensor::of(x.data(), {n}));
    std::vector<T> all(static_cast<size_t>(n * c.size()));
    c.all_gather(Tensor::of(all.data(), {c.size(), n}), Tensor::of(x.data(), {n}));
    for (int r = 0; r < c.size(); ++r) {
      const std::vector<T> theirs(all.begin() + r * n, all.begin() + (r + 1) * n);
      EXPECT_TRUE(bits(theirs) == bits(x)) << n << " elements, rank " << r;
    }
  }
}

// The tensor is larger than the 16 MiB that are summed at once.
inline void a_large_tensor_is_summed_in_every_part(Communicator& c) {
  constexpr int64_t kElements = 4'200'001;
  std::vector<float> x;
  for (int64_t i = 0; i < kElements; ++i) x.push_back(static_cast<float>(i % 1009 + c.rank()));
  c.all_reduce(Tensor::of(x.data(), {kElements}));
  int64_t wrong = 0;
  const int64_t ranks = c.size();
  for (int64_t i = 0; i < kElements; ++i) {
    wrong += x[static_cast<size_t>(i)] != static_cast<float>(i % 1009 * ranks + ranks * (ranks - 1) / 2);
  }
  EXPECT_EQ(wrong, 0);
}

inline void infinities_and_nans_reach_everyone(Communicator& c) {
  const float inf = std::numeric_limits<float>::infinity();
  std::vector<float> x{c.rank() == 0 ? inf : 1.f, c.rank() == 0 ? inf : -inf, 1.f};
  c.all_reduce(Tensor::of(x.data(), {3}));
  EXPECT_EQ(x[0], inf);
  EXPECT_TRUE(c.size() == 1 ? x[1] == inf : std::isnan(x[1]));
  EXPECT_EQ(x[2], static_cast<float>(c.size()));
}

inline void a_matrix_is_reduced_in_place(Communicator& c) {
  std::vector<float> x(15, static_cast<float>(c.rank() + 1));
  c.all_reduce(Tensor::of(x.data(), {5, 3}));
  EXPECT_EQ(x, std::vector<float>(15, static_cast<float>(c.size() * (c.size() + 1) / 2)));
}

template <class T>
void all_gather_keeps_rank_order(Communicator& c) {
  for (int64_t n : {int64_t{1}, int64_t{5}, int64_t{40000}}) {
    std::vector<T> x(static_cast<size_t>(n), static_cast<T>(c.rank() + 1));
    std::vector<T> all(static_cast<size_t>(n * c.size()));
    c.all_gather(Tensor::of(all.data(), {c.size(), n}), Tensor::of(x.data(), {n}));
    for (size_t i = 0; i < all.size(); ++i) ASSERT_EQ(all[i], static_cast<T>(i / static_cast<size_t>(n) + 1));
  }
}

inline void broadcast_comes_from_each_root(Communicator& c) {
  for (int root = 0; root < c.size(); ++root) {
    for (int64_t n : {int64_t{1}, int64_t{77}, int64_t{300007}}) {
      auto x = values<float>(c.rank(), n);
      c.broadcast(Tensor::of(x.data(), {n}), root);
      EXPECT_TRUE(bits(x) == bits(values<float>(root, n))) << "root " << root;
    }
  }
}

inline void messages_go_round_the_ring_in_order(Communicator& c) {
  if (c.size() == 1) return;
  const int next = (c.rank() + 1) % c.size();
  const int previous = (c.rank() + c.size() - 1) % c.size();
  for (int64_t n : {int64_t{1}, int64_t{9}, int64_t{200003}}) {
    auto mine = values<float>(c.rank(), n);
    std::vector<float> got(static_cast<size_t>(n));
    const auto send = [&] { c.send(Tensor::of(mine.data(), {n}), next); };
    const auto receive = [&] { c.receive(Tensor::of(got.data(), {n}), previous); };
    // Large sends wait for their receiver, so one rank receives first.
    if (c.rank() == 0) receive();
    send();
    if (c.rank() != 0) receive();
    EXPECT_TRUE(bits(got) == bits(values<float>(previous, n)));
  }
}

inline void wrong_arguments_are_refused_before_anything_moves(Communicator& c) {
  std::vector<float> x(12);
  const Tensor matrix = Tensor::of(x.data(), {4, 3});
  EXPECT_THROW(c.all_reduce(matrix.slice_columns(0, 2)), Error);
  EXPECT_THROW(c.broadcast(matrix, c.size()), Error);
  EXPECT_THROW(c.broadcast(matrix, -1), Error);
  EXPECT_THROW(c.send(matrix, c.size()), Error);
  EXPECT_THROW(c.receive(matrix, -1), Error);
  EXPECT_THROW(c.all_gather(matrix, matrix.slice_rows(0, 3)), Error);
  c.barrier();
}

// This table holds every function above, by name.
using Claim = void (*)(Communicator&);
struct NamedClaim {
  const char* name;
  Claim check;
};
inline const std::vector<NamedClaim>& claims() {
  static const std::vector<NamedClaim> all{
      {"AllReduceF32IsTheRankOrderSum", all_reduce_is_the_rank_order_sum<float>},
      {"AllReduceBf16IsTheRankOrderSum", all_reduce_is_the_rank_order_sum<bf16>},
      {"AllRanksHoldEqualBitsF32", all_ranks_hold_equal_bits<float>},
      {"AllRanksHoldEqualBitsBf16", all_ranks_hold_equal_bits<bf16>},
      {"ALargeTensorIsSummedInEveryPart", a_large_tensor_is_summed_in_every_part},
      {"InfinitiesAndNansReachEveryone", infinities_and_nans_reach_everyone},
      {"AMatrixIsReducedInPlace", a_matrix_is_reduced_in_place},
      {"AllGatherKeepsRankOrderF32", all_gather_keeps_rank_order<float>},
      {"AllGatherKeepsRankOrderI32", all_gather_keeps_rank_order<int32_t>},
      {"AllGatherKeepsRankOrderU8", all_gather_keeps_rank_order<uint8_t>},
      {"BroadcastComesFromEachRoot", broadcast_comes_from_each_root},
      {"MessagesGoRoundTheRingInOrder", messages_go_round_the_ring_in_order},
      {"WrongArgumentsAreRefusedBeforeAnythingMoves", wrong_arguments_are_refused_before_anything_moves},
  };
  return all;
}

}  // namespace uhd::contract
