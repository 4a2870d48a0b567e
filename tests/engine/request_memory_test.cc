#include "engine/leader/request_memory.h"

#include <gtest/gtest.h>

#include "tests/engine/fake_grammar.h"

namespace uhd {
namespace {

std::shared_ptr<const std::string> image(size_t bytes) {
  return std::make_shared<const std::string>(bytes, 'x');
}

TEST(RequestMemory, RefusesWhatDoesNotFitAndCountsNothingOfIt) {
  RequestMemory memory(100);
  RequestMemory::Images first{image(50)}, second{image(30)};
  const auto held = memory.take("a", 10, first);
  ASSERT_NE(held, nullptr);
  EXPECT_EQ(memory.in_use(), 60);
  EXPECT_FALSE(memory.has_room("b", 11, second));
  EXPECT_EQ(memory.take("b", 11, second), nullptr);
  EXPECT_EQ(memory.in_use(), 60);
  EXPECT_TRUE(memory.has_room("b", 10, second));
  EXPECT_NE(memory.take("b", 10, second), nullptr);
}

TEST(RequestMemory, NoClientCanKeepAllOfIt) {
  RequestMemory memory(900);
  RequestMemory::Images none;
  std::map<std::string, std::vector<std::shared_ptr<void>>> held;
  const auto fill = [&](const std::string& client) {
    while (auto more = memory.take(client, 10, none)) held[client].push_back(std::move(more));
    EXPECT_FALSE(memory.has_room(client, 10, none));
    return memory.in_use_by(client);
  };
  EXPECT_EQ(fill("a"), 600) << "two thirds";
  EXPECT_EQ(fill("b"), 200) << "two thirds of the rest";
  EXPECT_NE(memory.take("c", 10, none), nullptr);
  // As requests end, those who hold less come to as much as the others.
  for (int i = 0; i < 100; ++i) {
    for (auto& [client, requests] : held) {
      if (!requests.empty()) requests.erase(requests.begin());
      fill(client);
    }
  }
  EXPECT_NEAR(static_cast<double>(memory.in_use_by("a")), 360, 20);
  EXPECT_NEAR(static_cast<double>(memory.in_use_by("b")), 360, 20);
  held.clear();
  EXPECT_EQ(memory.in_use(), 0);
  EXPECT_EQ(memory.in_use_by("a"), 0);
}

TEST(RequestMemory, LargeRequestsLeaveRoomToo) {
  RequestMemory memory(900);
  RequestMemory::Images none;
  const auto first = memory.take("a", 300, none), second = memory.take("a", 300, none);
  EXPECT_NE(second, nullptr);
  EXPECT_EQ(memory.take("a", 300, none), nullptr);
  EXPECT_NE(memory.take("b", 300, none), nullptr) << "who holds nothing may fill it";
}

TEST(RequestMemory, OneAloneIsNeverRefused) {
  RequestMemory memory(100);
  RequestMemory::Images big{image(500)}, small{image(1)};
  const auto held = memory.take("a", 10, big);
  ASSERT_NE(held, nullptr);
  EXPECT_EQ(memory.take("b", 1, small), nullptr);
}

TEST(RequestMemory, AnImageCountsUntilItsLastHolderLetsItGo) {
  RequestMemory memory(1000);
  const auto picture = image(50);
  RequestMemory::Images images{picture};
  auto held = memory.take("a", 5, images);
  EXPECT_EQ(images[0].get(), picture.get()) << "the same bytes";
  EXPECT_EQ(memory.in_use_by("a"), 55);
  const auto other = images[0];
  images.clear();
  EXPECT_EQ(memory.in_use(), 55);
  held.reset();
  EXPECT_EQ(memory.in_use(), 50);
  EXPECT_EQ(memory.in_use_by("a"), 50);
}

TEST(RequestMemory, AnImageThatNobodyHoldsCountsNoMore) {
  RequestMemory memory(1000);
  RequestMemory::Images images{image(50)};
  const auto held = memory.take("a", 5, images);
  images.clear();
  EXPECT_EQ(memory.in_use(), 5);
}

TEST(RequestMemory, WhatItGaveMayOutliveIt) {
  RequestMemory::Images images{image(5)};
  std::shared_ptr<void> held;
  {
    RequestMemory memory(10);
    held = memory.take("a", 1, images);
  }
  EXPECT_EQ(images[0]->size(), 5u);
}

TEST(RequestMemory, GrammarsLeaveRoomToo) {
  RequestMemory memory(900);
  std::vector<std::shared_ptr<const Grammar>> grammars;
  for (int i = 0; i < 3; ++i)
    grammars.push_back(std::make_shared<const FakeGrammar>(std::vector<int32_t>{1}, 2, 10, 300));
  EXPECT_TRUE(memory.share("a", grammars[0]));
  EXPECT_TRUE(memory.share("a", grammars[1]));
  EXPECT_FALSE(memory.share("a", grammars[2]));
  EXPECT_TRUE(memory.share("b", grammars[2]));
}

TEST(RequestMemory, AGrammarCountsOnceForAllWhoHoldIt) {
  RequestMemory memory(100);
  RequestMemory::Images none;
  const auto request = memory.take("c", 10, none);
  const auto compiled = std::make_shared<const FakeGrammar>(std::vector<int32_t>{1}, 2, 10, 60);
  std::shared_ptr<const Grammar> first = compiled, second = compiled;
  EXPECT_TRUE(memory.share("a", first));
  EXPECT_TRUE(memory.share("b", second));
  EXPECT_EQ(memory.in_use(), 70);
  std::shared_ptr<const Grammar> other =
      std::make_shared<const FakeGrammar>(std::vector<int32_t>{1}, 2, 10, 31);
  EXPECT_FALSE(memory.share("b", other));
  first.reset();
  EXPECT_EQ(memory.in_use(), 70);
  second.reset();
  EXPECT_EQ(memory.in_use(), 10);
  EXPECT_TRUE(memory.share("b", other));
  EXPECT_EQ(memory.in_use(), 41);
}

}  // namespace
}  // namespace uhd
