// The topology says what each rank is. It is a pure function of the world and the options.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "cluster/options.h"

namespace uhd {

enum class Role : uint8_t { llm, encoder };
enum class RoleRequest : uint8_t { automatic, llm, encoder };  // the ClusterOptions::role of one rank

struct Place {
  Role role = Role::llm;
  int index = 0;  // the tensor-parallel rank of an LLM rank, or the number of an encoder rank within its job
  bool operator==(const Place&) const = default;
};

struct Topology {
  std::vector<Place> places;  // indexed by world rank
  int llm_ranks = 0;          // 0: a job of encoders alone, whose leader is elsewhere
  int encoder_ranks = 0;      // those of this job; encoders of other jobs may join the leader at any time
  int encoder_threads = 0;    // encoders that the leader runs as threads: one process, encoders > 0
  int leader = -1;            // the world rank of LLM rank 0; -1 if it is in another job

  const Place& of(int world_rank) const { return places.at(static_cast<size_t>(world_rank)); }
  std::string name_of(int world_rank) const;  // returns "llm0", "encoder1": for logs
};

// Assigns a role to every rank. `asked` holds every rank's role request in world order (one job may mix
// programs launched as llm and as encoder). If all are automatic, the first tensor_parallel ranks are LLM
// ranks and the next `encoders` ranks encode; a single process with tensor_parallel 1 runs its encoders as
// threads. A world that does not fit is an Error that says what to launch.
Topology make_topology(std::span<const RoleRequest> asked, const ClusterOptions& options);

// Works like the one above, with every rank asking for options.role.
Topology make_topology(int world_size, const ClusterOptions& options);

RoleRequest role_request(const ClusterOptions& options);

}  // namespace uhd
