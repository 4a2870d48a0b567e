// All ranks of one launch, and what is made from them once at start.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "cluster/communicator.h"
#include "cluster/launch/process_watch.h"
#include "cluster/plan_channel.h"
#include "cluster/topology.h"
#include "cluster/visual_link.h"

namespace uhd {

// RAII over MPI. A program that no launcher started, or that is alone in its launch, never touches MPI: it is
// a world of one. MPI is asked for MPI_THREAD_SERIALIZED: the thread that makes the World may hand it, and
// all that was made from it, to the engine's thread; never two threads at once. One World a process.
//
// Everything that can fail at start (topology, config, checkpoint) is an Error; a rank that gives up while
// others run calls abort(), for they would wait for it.
class World {
 public:
  World();
  // Leaves MPI; gives up after 10 s, because a lost host can make it wait for ever. During the unwinding of
  // an exception it ends the job instead.
  ~World();
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  int rank() const;
  int size() const;
  const std::string& host() const;                // this rank's
  const std::vector<std::string>& hosts() const;  // every rank's
  int local_rank() const;                         // among the ranks of this host

  // Collective over all ranks: agrees on the roles (every rank passes its own options).
  Topology agree_topology(const ClusterOptions& options);

  // Collective over all ranks, in this order, once each. Ranks that are not LLM ranks get null. A group of
  // one needs no MPI.
  std::unique_ptr<Communicator> tensor_parallel(const Topology& topology);
  std::unique_ptr<PlanChannel> plan_channel(const Topology& topology);

  // The ends of a link for rows between this rank and another of the same job. Not collective, and no MPI is
  // called before the link is used.
  std::unique_ptr<VisualLink> visual_sender(int peer) const;
  std::unique_ptr<VisualLink> visual_receiver(int peer) const;

  // A short text from one rank to another, at start: the leader's address to its encoders.
  void send_text(const std::string& text, int peer);
  std::string receive_text(int peer, Duration limit);  // Error after the limit

  // Leader: tells a rank that works for it that the job ends. Such a rank asks, as often as it likes.
  void tell_end(int peer);
  bool told_to_end(int leader) const;

  // Calls ended(rank), on a thread of the watch, when the process of one of these ranks has ended, as far as
  // it ran on this host. The watch is given up before the World: at a regular end processes end, too.
  std::unique_ptr<ProcessWatch> watch(const std::vector<int>& ranks,
                                      std::function<void(int rank)> ended) const;

  // Ends every rank of the job now; from any thread. What the log has to say comes out first.
  [[noreturn]] void abort(int status);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace uhd
