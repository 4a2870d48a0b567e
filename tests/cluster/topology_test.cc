#include "cluster/topology.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"

namespace uhd {
namespace {

using testing::AllOf;
using testing::HasSubstr;

ClusterOptions wants(int llm, int encoders) {
  ClusterOptions o;
  o.tensor_parallel = llm;
  o.encoder_count = encoders;
  return o;
}

std::string error_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& e) {
    return e.what();
  }
  return "no error";
}

TEST(Topology, PutsLlmRanksFirstAndEncodersAfterThem) {
  const Topology t = make_topology(4, wants(2, 2));
  EXPECT_EQ(t.places,
            (std::vector<Place>{{Role::llm, 0}, {Role::llm, 1}, {Role::encoder, 0}, {Role::encoder, 1}}));
  EXPECT_EQ(t.leader, 0);
  EXPECT_EQ(t.llm_ranks, 2);
  EXPECT_EQ(t.encoder_ranks, 2);
  EXPECT_EQ(t.encoder_threads, 0);
  EXPECT_EQ(t.name_of(1), "llm1");
  EXPECT_EQ(t.name_of(2), "encoder0");
}

TEST(Topology, EveryFittingWorldHasEachShardAndEncoderOnce) {
  for (int llm : {1, 2, 4, 8}) {
    for (int encoders : {0, 1, 3}) {
      const Topology t = make_topology(llm + encoders, wants(llm, encoders));
      for (int rank = 0; rank < llm + encoders; ++rank) {
        const Place expected = rank < llm ? Place{Role::llm, rank} : Place{Role::encoder, rank - llm};
        EXPECT_EQ(t.of(rank), expected);
      }
    }
  }
}

TEST(Topology, OneProcessRunsItsEncodersAsThreads) {
  const Topology t = make_topology(1, wants(1, 3));
  EXPECT_EQ(t.places, (std::vector<Place>{{Role::llm, 0}}));
  EXPECT_EQ(t.encoder_threads, 3);
  EXPECT_EQ(t.encoder_ranks, 0);
}

TEST(Topology, AWorldThatDoesNotFitSaysWhatToLaunch) {
  EXPECT_THAT(error_of([] { make_topology(1, wants(2, 2)); }),
              AllOf(HasSubstr("2 LLM + 2 encoder ranks"), HasSubstr("mpirun -n 4"), HasSubstr("got 1 rank")));
  EXPECT_THAT(error_of([] { make_topology(3, wants(2, 0)); }),
              AllOf(HasSubstr("2 LLM ranks"), HasSubstr("mpirun -n 2"), HasSubstr("got 3 ranks")));
  EXPECT_THAT(error_of([] { make_topology(2, wants(1, 0)); }), HasSubstr("one process without mpirun"));
  EXPECT_THAT(error_of([] { make_topology(2, wants(2, 2)); }), HasSubstr("role of this one to llm"));
}

TEST(Topology, ALlmJobLeavesItsEncodersToOtherJobs) {
  ClusterOptions o = wants(2, 2);
  o.role = "llm";
  const Topology t = make_topology(2, o);
  EXPECT_EQ(t.llm_ranks, 2);
  EXPECT_EQ(t.encoder_ranks + t.encoder_threads, 0);
  EXPECT_THAT(error_of([&] { make_topology(3, o); }), HasSubstr("3 were launched with cluster.role=llm"));
}

TEST(Topology, AnEncoderJobMayHaveAnySizeButNeedsTheLeadersAddress) {
  ClusterOptions o = wants(2, 2);
  o.role = "encoder";
  EXPECT_THAT(error_of([&] { make_topology(3, o); }), HasSubstr("leader's address"));
  o.leader = "host:7000";
  const Topology t = make_topology(3, o);
  EXPECT_EQ(t.encoder_ranks, 3);
  EXPECT_EQ(t.leader, -1);
  EXPECT_EQ(t.of(2), (Place{Role::encoder, 2}));
}

TEST(Topology, OneJobMayMixProgramsLaunchedWithRolesInAnyOrder) {
  using enum RoleRequest;
  const std::vector<RoleRequest> asked{encoder, llm, encoder, llm};
  const Topology t = make_topology(asked, wants(2, 2));
  EXPECT_EQ(t.places,
            (std::vector<Place>{{Role::encoder, 0}, {Role::llm, 0}, {Role::encoder, 1}, {Role::llm, 1}}));
  EXPECT_EQ(t.leader, 1);
  const std::vector<RoleRequest> half{llm, automatic};
  EXPECT_THAT(error_of([&] { make_topology(half, wants(2, 0)); }), HasSubstr("some without"));
}

TEST(ClusterOptions, BadValuesAreNamed) {
  const auto with = [](auto change) {
    ClusterOptions o;
    change(o);
    return error_of([&] { check_options(o); });
  };
  EXPECT_EQ(with([](auto&) {}), "no error");
  EXPECT_THAT(with([](auto& o) { o.tensor_parallel = 0; }), HasSubstr("llm.tensor_parallel is 0"));
  EXPECT_THAT(with([](auto& o) { o.encoder_count = -1; }), HasSubstr("encoders.count is -1"));
  EXPECT_THAT(with([](auto& o) { o.role = "chef"; }), AllOf(HasSubstr("'chef'"), HasSubstr("encoder")));
  EXPECT_THAT(with([](auto& o) { o.link = "ucx"; }), AllOf(HasSubstr("'ucx'"), HasSubstr("mpi")));
  EXPECT_THAT(with([](auto& o) { o.ipc_all_reduce = "maybe"; }),
              AllOf(HasSubstr("'maybe'"), HasSubstr("auto")));
  EXPECT_THAT(with([](auto& o) { o.control_port = 65536; }), HasSubstr("65536"));
  EXPECT_THAT(with([](auto& o) { o.heartbeat_s = std::numeric_limits<double>::quiet_NaN(); }),
              HasSubstr("heartbeat_s"));
  EXPECT_THAT(with([](auto& o) { o.lost_after_s = 1.5; }), HasSubstr("twice cluster.heartbeat_s"));
}

}  // namespace
}  // namespace uhd
