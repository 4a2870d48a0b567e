#include "cluster/topology.h"

#include <algorithm>

#include "base/error.h"

namespace uhd {
namespace {

std::string wish(const ClusterOptions& o) {
  std::string text = message(o.tensor_parallel, " LLM");
  if (o.encoder_count > 0) text += message(" + ", o.encoder_count, " encoder");
  return text + (o.tensor_parallel + o.encoder_count == 1 ? " rank" : " ranks");
}

// Throws the error of a world that does not fit the options, and names the worlds that fit.
[[noreturn]] void refuse(int world, const ClusterOptions& o) {
  const int ranks = o.tensor_parallel + o.encoder_count;
  std::string text = message("the configuration asks for ", wish(o), " = ");
  text += ranks == 1 ? std::string("one process without mpirun") : message("mpirun -n ", ranks);
  text += message("; got ", world, world == 1 ? " rank" : " ranks");
  if (world == o.tensor_parallel && o.encoder_count > 0) {
    text += " (for encoders in a job of their own, set cluster.role of this one to llm)";
  }
  throw Error(text);
}

Topology from_roles(std::span<const Role> roles) {
  Topology t;
  for (size_t rank = 0; rank < roles.size(); ++rank) {
    if (roles[rank] == Role::llm && t.leader < 0) t.leader = static_cast<int>(rank);
    t.places.push_back({roles[rank], roles[rank] == Role::llm ? t.llm_ranks++ : t.encoder_ranks++});
  }
  return t;
}

Topology by_rank(int world, const ClusterOptions& o) {
  const bool one_process = world == 1 && o.tensor_parallel == 1;
  if (!one_process && world != o.tensor_parallel + o.encoder_count) refuse(world, o);
  std::vector<Role> roles(static_cast<size_t>(world), Role::encoder);
  std::fill_n(roles.begin(), o.tensor_parallel, Role::llm);
  Topology t = from_roles(roles);
  if (one_process) t.encoder_threads = o.encoder_count;
  return t;
}

Topology by_launch(std::span<const RoleRequest> asked, const ClusterOptions& o) {
  std::vector<Role> roles;
  for (RoleRequest r : asked) roles.push_back(r == RoleRequest::llm ? Role::llm : Role::encoder);
  Topology t = from_roles(roles);
  if (t.llm_ranks == 0) {
    require(!o.leader.empty(),
            "a job of encoders needs the leader's address: set cluster.leader to host:port");
    return t;
  }
  require(t.llm_ranks == o.tensor_parallel, "the configuration asks for ", o.tensor_parallel,
          " LLM ranks (llm.tensor_parallel), but ", t.llm_ranks, " were launched with cluster.role=llm");
  return t;
}

}  // namespace

std::string Topology::name_of(int world_rank) const {
  const Place& place = of(world_rank);
  return message(place.role == Role::llm ? "llm" : "encoder", place.index);
}

Topology make_topology(std::span<const RoleRequest> asked, const ClusterOptions& options) {
  check_options(options);
  check(!asked.empty(), "a world has at least one rank");
  const auto automatic = std::count(asked.begin(), asked.end(), RoleRequest::automatic);
  if (automatic == static_cast<std::ptrdiff_t>(asked.size())) {
    return by_rank(static_cast<int>(asked.size()), options);
  }
  require(automatic == 0, "some ranks of this job were launched with cluster.role and some without");
  return by_launch(asked, options);
}

Topology make_topology(int world_size, const ClusterOptions& options) {
  check(world_size > 0, "a world has at least one rank");
  const std::vector<RoleRequest> asked(static_cast<size_t>(world_size), role_request(options));
  return make_topology(asked, options);
}

RoleRequest role_request(const ClusterOptions& options) {
  if (options.role == "llm") return RoleRequest::llm;
  if (options.role == "encoder") return RoleRequest::encoder;
  return RoleRequest::automatic;
}

}  // namespace uhd
