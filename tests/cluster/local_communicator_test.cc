#include "cluster/host/local_communicator.h"

#include <gtest/gtest.h>

#include <cmath>
#include <thread>

#include "tests/cluster/communicator_contract.h"

namespace uhd {
namespace {

template <class F>
void on_each_rank(int size, const F& act) {
  auto ranks = make_local_communicators(size);
  std::vector<std::jthread> threads;
  for (auto& r : ranks) threads.emplace_back([&] { act(*r); });
}

class LocalCommunicator : public testing::TestWithParam<std::tuple<int, size_t>> {};

TEST_P(LocalCommunicator, Holds) {
  on_each_rank(std::get<0>(GetParam()), contract::claims()[std::get<1>(GetParam())].check);
}

INSTANTIATE_TEST_SUITE_P(Contract, LocalCommunicator,
                         testing::Combine(testing::Values(1, 2, 3, 4),
                                          testing::Range(size_t{0}, contract::claims().size())),
                         [](const auto& test) {
                           return message(contract::claims()[std::get<1>(test.param)].name,
                                          std::get<0>(test.param), "Ranks");
                         });

TEST(LocalCommunicatorGroup, ARankThatLeavesFailsThoseThatWait) {
  auto ranks = make_local_communicators(3);
  std::vector<float> x(4);
  std::jthread waits([&] { EXPECT_THROW(ranks[1]->barrier(), Error); });
  std::jthread receives([&] { EXPECT_THROW(ranks[2]->receive(Tensor::of(x.data(), {4}), 0), Error); });
  ranks[0].reset();
}

TEST(LocalCommunicatorGroup, UnequalSizesFailOnEveryRank) {
  on_each_rank(2, [](Communicator& c) {
    std::vector<float> x(8);
    EXPECT_THROW(c.all_reduce(Tensor::of(x.data(), {4 + c.rank()})), Error);
    c.barrier();
  });
}

TEST(LocalCommunicatorGroup, AMessageOfAnotherSizeIsAnError) {
  auto ranks = make_local_communicators(2);
  std::vector<float> x(8);
  ranks[0]->send(Tensor::of(x.data(), {8}), 1);
  EXPECT_THROW(ranks[1]->receive(Tensor::of(x.data(), {7}), 0), Error);
}

}  // namespace
}  // namespace uhd
