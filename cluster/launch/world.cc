#include "cluster/launch/world.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <mutex>
#include <optional>
#include <thread>

#include "base/error.h"
#include "base/log.h"
#include "cluster/host/mpi_communicator.h"
#include "cluster/host/mpi_group.h"
#include "cluster/host/mpi_plan_channel.h"
#include "cluster/host/mpi_visual_link.h"
#include "cluster/idle_wait.h"
#include "cluster/wait_notice.h"

namespace uhd {
namespace {

constexpr int kTextTag = 1;
constexpr int kEndTag = 2;
constexpr size_t kMaxText = 1 << 16;
constexpr size_t kMaxHostName = 256;
constexpr Duration kLeaveLimit = std::chrono::seconds(10);

std::string own_host() {
  char name[kMaxHostName] = {};
  check(gethostname(name, sizeof(name) - 1) == 0, "this host has no name");
  return name;
}

// A place says where a rank runs.
struct Whereabouts {
  std::array<char, kMaxHostName> host{};
  ProcessId process;
};

std::vector<Whereabouts> everyones_whereabouts(const MpiGroup& all, const std::string& own) {
  Whereabouts mine{{}, own_process()};
  own.copy(mine.host.data(), mine.host.size() - 1);
  std::vector<Whereabouts> places(static_cast<size_t>(all.size()));
  all.all_gather(places.data(), &mine, sizeof(mine));
  return places;
}

// Ends the process unless destroyed within the limit.
class LeaveLimit {
 public:
  LeaveLimit()
      : thread_([this](const std::stop_token& stop) {
          std::unique_lock lock(mutex_);
          changed_.wait_for(lock, stop, kLeaveLimit, [] { return false; });
          if (stop.stop_requested()) return;
          log_error("MPI does not end; leaving without it");
          std::fflush(nullptr);
          flush_log();
          std::_Exit(1);
        }) {}

 private:
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::jthread thread_;
};

// Every rank tells the others this about its launch.
struct LaunchWish {
  int32_t role = 0;
  int32_t tensor_parallel = 0;
  int32_t encoders = 0;
  std::array<char, 8> ipc_all_reduce{};
  std::array<char, 8> link{};
};

}  // namespace

struct World::State {
  int rank = 0;
  int size = 1;
  std::string host = own_host();
  std::vector<std::string> hosts;
  std::vector<ProcessId> processes;
  std::optional<MpiGroup> all;   // start-up texts
  std::optional<MpiGroup> rows;  // visual links
  std::optional<MpiGroup> llm;   // set by tensor_parallel() on LLM ranks
  int exceptions = std::uncaught_exceptions();
};

World::World() : state_(std::make_unique<State>()) {
  if (launched_by_mpi()) {
    const WaitNotice notice("the other ranks of this job to start");
    start_mpi();
    state_->all = MpiGroup::world();
    state_->rows = state_->all->duplicate();
    state_->rank = state_->all->rank();
    state_->size = state_->all->size();
    for (const Whereabouts& place : everyones_whereabouts(*state_->all, state_->host)) {
      state_->hosts.emplace_back(place.host.data());
      state_->processes.push_back(place.process);
    }
  } else {
    state_->hosts = {state_->host};
  }
}

World::~World() {
  if (!state_->all) return;
  if (std::uncaught_exceptions() > state_->exceptions) abort(1);
  const LeaveLimit limit;
  leave_mpi();
}

int World::rank() const { return state_->rank; }
int World::size() const { return state_->size; }
const std::string& World::host() const { return state_->host; }
const std::vector<std::string>& World::hosts() const { return state_->hosts; }

int World::local_rank() const {
  const auto own = state_->hosts.begin() + state_->rank;
  return static_cast<int>(std::count(state_->hosts.begin(), own, state_->host));
}

int World::local_size() const {
  return static_cast<int>(std::count(state_->hosts.begin(), state_->hosts.end(), state_->host));
}

Topology World::agree_topology(const ClusterOptions& options) {
  const auto role = role_request(options);
  if (!state_->all) return make_topology(1, options);
  LaunchWish mine{static_cast<int32_t>(role), options.tensor_parallel, options.encoder_count, {}, {}};
  options.ipc_all_reduce.copy(mine.ipc_all_reduce.data(), mine.ipc_all_reduce.size() - 1);
  options.link.copy(mine.link.data(), mine.link.size() - 1);
  const WaitNotice notice("the other ranks of this job");
  std::vector<LaunchWish> wishes(static_cast<size_t>(size()));
  state_->all->all_gather(wishes.data(), &mine, sizeof(mine));
  std::vector<RoleRequest> asked;
  for (size_t r = 0; r < wishes.size(); ++r) {
    require(
        wishes[r].tensor_parallel == wishes[0].tensor_parallel && wishes[r].encoders == wishes[0].encoders,
        "the ranks of this job have different configurations: rank 0 asks for ", wishes[0].tensor_parallel,
        " LLM and ", wishes[0].encoders, " encoder ranks, rank ", r, " for ", wishes[r].tensor_parallel,
        " and ", wishes[r].encoders);
    require(wishes[r].ipc_all_reduce == wishes[0].ipc_all_reduce,
            "the ranks of this job have different configurations: cluster.ipc_all_reduce is ",
            wishes[0].ipc_all_reduce.data(), " on rank 0 and ", wishes[r].ipc_all_reduce.data(), " on rank ",
            r);
    require(wishes[r].link == wishes[0].link,
            "the ranks of this job have different configurations: cluster.link is ", wishes[0].link.data(),
            " on rank 0 and ", wishes[r].link.data(), " on rank ", r);
    asked.push_back(static_cast<RoleRequest>(wishes[r].role));
  }
  return make_topology(asked, options);
}

std::unique_ptr<Communicator> World::tensor_parallel(const Topology& topology) {
  const bool llm = topology.of(rank()).role == Role::llm;
  if (!state_->all) return llm ? make_single_communicator() : nullptr;
  const MpiGroup group = state_->all->split(llm ? 1 : 0);
  if (!llm) return nullptr;
  state_->llm = group;
  return group.size() == 1 ? make_single_communicator() : make_mpi_communicator(group);
}

std::unique_ptr<PlanChannel> World::plan_channel(const Topology& topology) {
  if (topology.of(rank()).role != Role::llm) return nullptr;
  if (topology.llm_ranks == 1) return std::move(make_local_plan_channels(1).front());
  check(state_->llm.has_value(), "tensor_parallel() comes before plan_channel()");
  return make_mpi_plan_channel(state_->llm->duplicate());
}

std::unique_ptr<VisualLink> World::visual_sender(int peer) const {
  check(state_->rows && peer >= 0 && peer < size() && peer != rank(), "there is no link to rank ", peer);
  return make_mpi_sender(*state_->rows, peer);
}

std::unique_ptr<VisualLink> World::visual_receiver(int peer) const {
  check(state_->rows && peer >= 0 && peer < size() && peer != rank(), "there is no link to rank ", peer);
  return make_mpi_receiver(*state_->rows, peer);
}

void World::send_text(const std::string& text, int peer) {
  check(state_->all.has_value() && text.size() <= kMaxText, "this text cannot be sent");
  state_->all->send(text.data(), text.size(), peer, kTextTag);
}

std::string World::receive_text(int peer, Duration limit) {
  check(state_->all.has_value(), "there is no other rank");
  const WaitNotice notice(message("rank ", peer, " of this job to say where it is"));
  IdleWait wait;
  auto bytes = state_->all->probe(peer, kTextTag);
  while (!bytes) {
    require(wait.waited() < limit, "rank ", peer, " of this job did not answer");
    wait.once();
    bytes = state_->all->probe(peer, kTextTag);
  }
  require(*bytes <= kMaxText, "rank ", peer, " sent a text of ", *bytes, " bytes");
  std::string text(*bytes, '\0');
  state_->all->receive(text.data(), text.size(), peer, kTextTag);
  return text;
}

void World::tell_end(int peer) {
  check(state_->all.has_value(), "there is no other rank");
  const char nothing = 0;
  state_->all->send(&nothing, sizeof(nothing), peer, kEndTag);
}

bool World::told_to_end(int leader) const {
  return state_->all.has_value() && state_->all->probe(leader, kEndTag).has_value();
}

std::unique_ptr<ProcessWatch> World::watch(const std::vector<int>& ranks,
                                           std::function<void(int)> ended) const {
  std::vector<int> here;
  std::vector<ProcessId> processes;
  for (int r : ranks) {
    const auto at = static_cast<size_t>(r);
    if (r == rank() || state_->hosts.at(at) != state_->host) continue;
    if (state_->processes.at(at).space != own_process().space) continue;
    here.push_back(r);
    processes.push_back(state_->processes.at(at));
  }
  return std::make_unique<ProcessWatch>(processes,
                                        [here, ended = std::move(ended)](size_t peer) { ended(here[peer]); });
}

void World::abort(int status) {
  std::fflush(nullptr);
  flush_log();
  if (state_->all) abort_mpi(status);
  std::_Exit(status);
}

}  // namespace uhd
