// Every rank runs the same tests in the same order, over one World.
#include <gtest/gtest.h>

#include <cstdio>

#include "tests/cluster/mpi/world.h"

namespace uhd {
namespace {
World* the_world = nullptr;
}
World& test_world() { return *the_world; }
}  // namespace uhd

namespace {

// A rank that fails a test prints it with its number; the others go on, for they meet it again.
class RankPrinter : public testing::EmptyTestEventListener {
  void OnTestPartResult(const testing::TestPartResult& result) override {
    if (!result.failed()) return;
    std::fprintf(stderr, "rank %d: %s:%d: %s\n", uhd::test_world().rank(), result.file_name(),
                 result.line_number(), result.message());
  }
};

}  // namespace

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  uhd::World world;
  uhd::the_world = &world;
  auto& listeners = testing::UnitTest::GetInstance()->listeners();
  if (world.rank() != 0) delete listeners.Release(listeners.default_result_printer());
  listeners.Append(new RankPrinter);
  try {
    const int status = RUN_ALL_TESTS();
    if (testing::UnitTest::GetInstance()->test_to_run_count() == 0) return 1;
    return status;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "rank %d: %s\n", world.rank(), e.what());
    world.abort(1);
  }
}
