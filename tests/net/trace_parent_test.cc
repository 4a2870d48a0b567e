#include "net/trace_parent.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace uhd {
namespace {

constexpr std::string_view kId = "4bf92f3577b34da6a3ce929d0e0e4736";
constexpr std::string_view kGood = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

TEST(TraceParent, ReadsTheStandardsExample) {
  const TraceContext context = parse_trace_parent(kGood);
  EXPECT_EQ(context.id, kId);
  EXPECT_EQ(context.parent, "00f067aa0ba902b7");
  EXPECT_TRUE(context.sampled);
}

TEST(TraceParent, OnlyTheLastBitOfTheFlagsSamples) {
  const std::string start(kGood.substr(0, 53));
  EXPECT_FALSE(parse_trace_parent(start + "00").sampled);
  EXPECT_FALSE(parse_trace_parent(start + "fe").sampled);
  EXPECT_TRUE(parse_trace_parent(start + "ff").sampled);
  EXPECT_EQ(parse_trace_parent(start + "fe").id, kId);
}

TEST(TraceParent, ALaterVersionMayGoOn) {
  const std::string later = message("cc", kGood.substr(2));
  EXPECT_EQ(parse_trace_parent(later).id, kId);
  EXPECT_EQ(parse_trace_parent(later + "-what-comes").id, kId);
  EXPECT_TRUE(parse_trace_parent(later + "x").id.empty());
  EXPECT_TRUE(parse_trace_parent(std::string(kGood) + "-what-comes").id.empty()) << "version 00 is complete";
}

TEST(TraceParent, IgnoresWhatIsMalformed) {
  const std::string good(kGood);
  const auto with = [&](size_t at, std::string_view text) {
    return std::string(good).replace(at, text.size(), text);
  };
  const std::string wrong[] = {"",
                               "00",
                               good.substr(0, 54),
                               with(0, "ff"),
                               with(0, "0G"),
                               with(2, "_"),
                               with(35, "_"),
                               with(52, "_"),
                               with(10, "F"),
                               with(40, "A"),
                               with(54, "g"),
                               message(" ", good.substr(0, 54)),
                               with(3, "00000000000000000000000000000000"),
                               with(36, "0000000000000000")};
  for (const std::string& header : wrong) {
    const TraceContext context = parse_trace_parent(header);
    EXPECT_TRUE(context.id.empty() && context.parent.empty() && !context.sampled) << header;
  }
}

}  // namespace
}  // namespace uhd
