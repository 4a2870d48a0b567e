#include "base/numa.h"

#include <gmock/gmock.h>

#include <fstream>
#include <numeric>

#include "base/error.h"
#include "tests/support/temporary_directory.h"

namespace uhd {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

// A host of two nodes of four cores with two threads each, and a node of memory alone.
class Numa : public testing::Test {
 protected:
  Numa() {
    write("node0/cpulist", "0-3,8-11\n");
    write("node1/cpulist", "4-7,12-15\n");
    write("node2/cpulist", "\n");
    write("possible", "0-2\n");
    write("nodes/cpulist", "0-15\n");
  }
  void write(const std::string& path, const std::string& text) const {
    const auto file = root_.path() / "sys/devices/system/node" / path;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << text;
  }
  std::vector<int> of(int rank, int ranks, const std::vector<int>& allowed) const {
    return cores_of_rank(numa_nodes(root_.path()), allowed, rank, ranks);
  }
  static std::vector<int> range(int first, int last) {
    std::vector<int> all(static_cast<size_t>(last - first + 1));
    std::iota(all.begin(), all.end(), first);
    return all;
  }

  TemporaryDirectory root_;
};

TEST_F(Numa, ReadsTheNodesThatHaveCores) {
  const auto nodes = numa_nodes(root_.path());
  ASSERT_EQ(nodes.size(), 2U);
  EXPECT_EQ(nodes[0].number, 0);
  EXPECT_THAT(nodes[0].cores, ElementsAre(0, 1, 2, 3, 8, 9, 10, 11));
  EXPECT_THAT(nodes[1].cores, ElementsAre(4, 5, 6, 7, 12, 13, 14, 15));
  const TemporaryDirectory empty;
  EXPECT_THAT(numa_nodes(empty.path()), IsEmpty());
}

TEST_F(Numa, ListsThatMakeNoSenseAreShort) {
  write("node3/cpulist", "5-x,9");
  write("node4/cpulist", "1048576-2097152");
  write("node5/cpulist", "7-3\n");
  EXPECT_EQ(numa_nodes(root_.path()).size(), 2U);
}

TEST_F(Numa, ARankHasANodeOrItsShareOfOne) {
  const std::vector<int> all = range(0, 15);
  EXPECT_THAT(of(0, 2, all), ElementsAre(0, 1, 2, 3, 8, 9, 10, 11));
  EXPECT_THAT(of(1, 2, all), ElementsAre(4, 5, 6, 7, 12, 13, 14, 15));
  EXPECT_THAT(of(0, 4, all), ElementsAre(0, 1, 2, 3));
  EXPECT_THAT(of(1, 4, all), ElementsAre(8, 9, 10, 11));
  EXPECT_THAT(of(2, 4, all), ElementsAre(4, 5, 6, 7));
  EXPECT_THAT(of(3, 4, all), ElementsAre(12, 13, 14, 15));
  EXPECT_EQ(of(19, 20, all).size(), 8U) << "more ranks than cores share the whole node";
}

// Every core belongs to exactly one rank, whatever the numbers are.
TEST_F(Numa, RanksDivideTheCores) {
  for (int ranks = 2; ranks <= 16; ++ranks) {
    std::vector<int> taken;
    for (int rank = 0; rank < ranks; ++rank) {
      const auto cores = of(rank, ranks, range(0, 15));
      EXPECT_FALSE(cores.empty());
      taken.insert(taken.end(), cores.begin(), cores.end());
    }
    std::ranges::sort(taken);
    EXPECT_EQ(taken, range(0, 15)) << ranks;
  }
}

TEST_F(Numa, FewRanksHaveSeveralNodes) {
  write("node2/cpulist", "16-17");
  EXPECT_THAT(of(0, 2, range(0, 17)), ElementsAre(0, 1, 2, 3, 8, 9, 10, 11));
  EXPECT_EQ(of(1, 2, range(0, 17)).size(), 10U);
}

TEST_F(Numa, RanksBoundToSeveralNodesKeepThemAll) {
  write("node2/cpulist", "16-17");
  write("node3/cpulist", "18-19");
  EXPECT_EQ(of(0, 2, range(0, 15)), range(0, 15));
  EXPECT_EQ(of(1, 2, range(16, 19)), range(16, 19));
}

TEST_F(Numa, BoundAndLoneRanksKeepWhatTheyHave) {
  EXPECT_THAT(of(0, 2, {4, 5}), ElementsAre(4, 5)) << "mpirun bound it";
  EXPECT_EQ(of(0, 1, range(0, 15)), range(0, 15));
  EXPECT_THAT(of(1, 2, {2, 3, 4, 6}), ElementsAre(4, 6)) << "a quota of cores on both nodes";
  EXPECT_THROW(of(2, 2, range(0, 15)), Error);
  const std::vector<int> three{1, 2, 3};
  EXPECT_THAT(cores_of_rank({}, three, 1, 4), ElementsAre(1, 2, 3)) << "the system does not say";
}

}  // namespace
}  // namespace uhd
