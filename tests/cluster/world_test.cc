// Tests a process that no launcher started. mpi/world_test.cc tests World under mpirun.
#include "cluster/launch/world.h"

#include <gtest/gtest.h>
#define OMPI_SKIP_MPICXX 1
#include <mpi.h>

#include "base/error.h"

namespace uhd {
namespace {

TEST(OneProcess, IsAWorldOfOneThatNeverTouchesMpi) {
  {
    World world;
    EXPECT_EQ(world.size(), 1);
    EXPECT_EQ(world.rank(), 0);
    EXPECT_EQ(world.hosts(), std::vector<std::string>{world.host()});
    const Topology topology = world.agree_topology({});
    const auto tp = world.tensor_parallel(topology);
    std::vector<float> x{3};
    tp->all_reduce(Tensor::of(x.data(), {1}));
    EXPECT_EQ(x[0], 3);
    world.plan_channel(topology)->send({});
  }
  int initialised = 1;
  MPI_Initialized(&initialised);
  EXPECT_EQ(initialised, 0);
}

TEST(OneProcess, HasNoOtherRanks) {
  World world;
  EXPECT_THROW(world.visual_sender(1), Error);
  EXPECT_THROW(world.visual_receiver(0), Error);
  EXPECT_THROW(world.send_text("x", 0), Error);
  EXPECT_THROW(world.receive_text(0, Duration::zero()), Error);
}

TEST(OneProcess, SaysWhatToLaunchForMoreRanks) {
  World world;
  ClusterOptions options;
  options.tensor_parallel = 2;
  EXPECT_THROW(world.agree_topology(options), Error);
}

}  // namespace
}  // namespace uhd
