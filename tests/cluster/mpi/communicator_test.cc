#include <gtest/gtest.h>

#include <cmath>

#include "cluster/host/mpi_communicator.h"
#include "tests/cluster/communicator_contract.h"
#include "tests/cluster/mpi/world.h"

namespace uhd {
namespace {

class MpiCommunicator : public testing::TestWithParam<size_t> {};

TEST_P(MpiCommunicator, Holds) {
  const auto ranks = make_mpi_communicator(MpiGroup::world());
  ASSERT_EQ(ranks->size(), test_world().size());
  contract::claims()[GetParam()].check(*ranks);
  ranks->barrier();
}

INSTANTIATE_TEST_SUITE_P(Contract, MpiCommunicator, testing::Range(size_t{0}, contract::claims().size()),
                         [](const auto& test) { return contract::claims()[test.param].name; });

}  // namespace
}  // namespace uhd
