#include "base/archive.h"

#include <gtest/gtest.h>

namespace uhd {
namespace {

struct Inner {
  int32_t a = 0;
  bool operator==(const Inner&) const = default;
};
template <class A>
void serialize(A& archive, Inner& x) {
  archive(x.a);
}
struct Outer {
  uint8_t kind = 0;
  std::string name;
  std::vector<float> values;
  std::vector<Inner> inner;
  bool operator==(const Outer&) const = default;
};
template <class A>
void serialize(A& archive, Outer& x) {
  archive(x.kind, x.name, x.values, x.inner);
}

Outer sample() { return {3, "slice", {1.5f, -2.0f}, {{4}, {5}}}; }

std::vector<std::byte> written(const Outer& value) {
  std::vector<std::byte> bytes;
  Writer write(bytes);
  write(value);
  return bytes;
}

TEST(Archive, ReadsBackWhatItWrote) {
  const auto bytes = written(sample());
  Outer copy;
  Reader read(bytes);
  read(copy);
  EXPECT_EQ(copy, sample());
  EXPECT_EQ(read.left(), 0u);
}

TEST(Archive, EveryTruncationIsAnError) {
  const auto bytes = written(sample());
  for (size_t length = 0; length < bytes.size(); ++length) {
    Outer copy;
    Reader read(std::span<const std::byte>{bytes.data(), length});
    EXPECT_THROW(read(copy), Error) << length;
  }
}

TEST(Archive, AHugeCountIsRefusedBeforeAllocation) {
  const uint32_t lie = 0xffffffffu;
  std::vector<std::byte> bytes;
  Writer write(bytes);
  write(lie);
  std::vector<double> values;
  Reader read(bytes);
  EXPECT_THROW(read(values), Error);
}

}  // namespace
}  // namespace uhd
