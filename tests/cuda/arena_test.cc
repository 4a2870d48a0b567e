#include "kernels/cuda/arena.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <random>
#include <vector>

namespace uhd::cuda {
namespace {

constexpr size_t kUnit = Arena::kUnit;

struct Part {
  std::byte* at;
  size_t bytes;
};

// The host's memory stands for the device's, and is never touched.
struct Memory {
  alignas(kUnit) std::byte bytes[64 * kUnit];
};

TEST(Arena, GivesAlignedPartsUntilNoneFits) {
  Memory memory;
  Arena arena(memory.bytes, sizeof(memory.bytes) + kUnit - 1);
  EXPECT_EQ(arena.bytes(), sizeof(memory.bytes));
  EXPECT_EQ(arena.take(1), memory.bytes);
  EXPECT_EQ(arena.take(kUnit + 1), memory.bytes + kUnit);
  EXPECT_EQ(arena.take(0), memory.bytes + 3 * kUnit);
  EXPECT_EQ(arena.left(), 60 * kUnit);
  EXPECT_EQ(arena.take(60 * kUnit + 1), nullptr);
  EXPECT_EQ(arena.take(SIZE_MAX), nullptr);
  EXPECT_EQ(arena.take(60 * kUnit), memory.bytes + 4 * kUnit);
  EXPECT_EQ(arena.take(0), nullptr);
  EXPECT_EQ(arena.left(), 0U);
}

TEST(Arena, OfNothingGivesNothing) {
  Memory memory;
  Arena arena(memory.bytes, kUnit - 1);
  EXPECT_EQ(arena.take(0), nullptr);
  EXPECT_FALSE(arena.give_back(memory.bytes, 0));
}

TEST(Arena, TakesBackOnlyItsOwn) {
  Memory memory;
  Arena arena(memory.bytes + kUnit, 2 * kUnit);
  EXPECT_FALSE(arena.give_back(memory.bytes, 1));
  EXPECT_FALSE(arena.give_back(memory.bytes + 3 * kUnit, 1));
  void* const part = arena.take(kUnit + 1);
  EXPECT_TRUE(arena.give_back(part, kUnit + 1));
  EXPECT_EQ(arena.left(), 2 * kUnit);
}

// Compares with a plain list of parts: none overlaps another, and parts that went back on both sides join
// into one gap again.
TEST(Arena, KeepsPartsApartAndJoinsGaps) {
  Memory memory;
  std::mt19937 random(7);
  for (int round = 0; round < 200; ++round) {
    Arena arena(memory.bytes, sizeof(memory.bytes));
    std::vector<Part> parts;
    for (int step = 0; step < 200; ++step) {
      if (parts.empty() || random() % 2 == 0) {
        const size_t bytes = random() % (9 * kUnit);
        auto* const at = static_cast<std::byte*>(arena.take(bytes));
        if (at == nullptr) continue;
        ASSERT_TRUE(at >= memory.bytes && at + bytes <= memory.bytes + sizeof(memory.bytes));
        for (const Part& other : parts)
          ASSERT_TRUE(at + bytes <= other.at || at >= other.at + std::max(other.bytes, size_t{1}));
        parts.push_back({at, bytes});
      } else {
        const size_t which = random() % parts.size();
        ASSERT_TRUE(arena.give_back(parts[which].at, parts[which].bytes));
        parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(which));
      }
    }
    for (const Part& part : parts) arena.give_back(part.at, part.bytes);
    ASSERT_EQ(arena.left(), arena.bytes());
    ASSERT_NE(arena.take(arena.bytes()), nullptr) << "gaps in touch were not joined";
  }
}

// The plan of a rank's memory rests on this.
TEST(Arena, OfThePeakGivesTheSamePlaces) {
  Memory memory;
  std::mt19937 random(11);
  for (int round = 0; round < 100; ++round) {
    struct Call {
      size_t bytes;
      int part;  // to give back; -1: take
      std::ptrdiff_t place;
    };
    std::vector<Call> calls;
    std::vector<int> held;
    std::vector<size_t> sizes;
    Arena large(memory.bytes, sizeof(memory.bytes));
    std::vector<void*> places;
    for (int step = 0; step < 30; ++step) {
      if (held.empty() || random() % 3 != 0) {
        const size_t bytes = random() % (3 * kUnit);
        void* const at = large.take(bytes);
        if (at == nullptr) break;
        calls.push_back({bytes, -1, static_cast<std::byte*>(at) - memory.bytes});
        held.push_back(static_cast<int>(places.size()));
        places.push_back(at);
        sizes.push_back(bytes);
      } else {
        const size_t which = random() % held.size();
        const auto part = static_cast<size_t>(held[which]);
        calls.push_back({sizes[part], held[which], 0});
        large.give_back(places[part], sizes[part]);
        held.erase(held.begin() + static_cast<std::ptrdiff_t>(which));
      }
    }
    Arena small(memory.bytes, large.peak());
    places.clear();
    for (const Call& call : calls) {
      if (call.part >= 0) {
        ASSERT_TRUE(small.give_back(places[static_cast<size_t>(call.part)], call.bytes));
      } else {
        places.push_back(small.take(call.bytes));
        ASSERT_EQ(places.back(), memory.bytes + call.place);
      }
    }
    EXPECT_EQ(small.peak(), large.peak());
  }
}

}  // namespace
}  // namespace uhd::cuda
