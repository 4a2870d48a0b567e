#include "engine/leader/request_memory.h"

#include <gtest/gtest.h>

namespace uhd {
namespace {

std::shared_ptr<const std::string> image(size_t bytes) {
  return std::make_shared<const std::string>(bytes, 'x');
}

TEST(RequestMemory, RefusesWhatDoesNotFitAndCountsNothingOfIt) {
  RequestMemory memory(100);
  RequestMemory::Images first{image(50)}, second{image(30)};
  const auto held = memory.take(10, first);
  ASSERT_NE(held, nullptr);
  EXPECT_EQ(memory.in_use(), 60);
  EXPECT_EQ(memory.take(11, second), nullptr);
  EXPECT_EQ(memory.in_use(), 60);
  EXPECT_NE(memory.take(10, second), nullptr);
}

TEST(RequestMemory, OneAloneIsNeverRefused) {
  RequestMemory memory(100);
  RequestMemory::Images big{image(500)}, small{image(1)};
  const auto held = memory.take(10, big);
  ASSERT_NE(held, nullptr);
  EXPECT_EQ(memory.take(1, small), nullptr);
}

TEST(RequestMemory, AnImageCountsOnceUntilItsLastHolderLetsItGo) {
  RequestMemory memory(1000);
  const auto picture = image(50);
  RequestMemory::Images one{picture, picture}, other{picture};
  auto first = memory.take(5, one);
  auto second = memory.take(5, other);
  EXPECT_EQ(memory.in_use(), 60);
  EXPECT_EQ(one[0].get(), picture.get()) << "the same bytes";
  one.clear();
  first.reset();
  EXPECT_EQ(memory.in_use(), 55);
  other.clear();
  EXPECT_EQ(memory.in_use(), 5);
  second.reset();
  EXPECT_EQ(memory.in_use(), 0);
}

TEST(RequestMemory, WhatItGaveMayOutliveIt) {
  RequestMemory::Images images{image(5)};
  std::shared_ptr<void> held;
  {
    RequestMemory memory(10);
    held = memory.take(1, images);
  }
  EXPECT_EQ(images[0]->size(), 5u);
}

}  // namespace
}  // namespace uhd
