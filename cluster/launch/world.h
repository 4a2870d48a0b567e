// A World holds all ranks of one launch, and makes the channels between them once at start.
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

// A World is RAII over MPI. A program that no launcher started, or that is alone in its launch, never touches
// MPI: it is a world of one. MPI is asked for MPI_THREAD_SERIALIZED: the thread that makes the World may hand
// it, and everything made from it, to the engine's thread, but two threads must never use it at once. A
// process has one World.
//
// Everything that can fail at start (topology, config, checkpoint) is an Error. A rank that gives up while
// others run calls abort(), because they would wait for it.
class World {
 public:
  World();
  // Leaves MPI, and gives up after 10 s, because a lost host can make it wait for ever. During the unwinding
  // of an exception it ends the job instead.
  ~World();
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  int rank() const;
  int size() const;
  const std::string& host() const;                // the host of this rank
  const std::vector<std::string>& hosts() const;  // the hosts of all ranks
  int local_rank() const;                         // its rank among the ranks of this host
  int local_size() const;                         // the ranks of this host

  // Agrees on the roles. The call is collective over all ranks; every rank passes its own options.
  Topology agree_topology(const ClusterOptions& options);

  // These are collective over all ranks, in this order, once each. Ranks that are not LLM ranks get null. A
  // group of one needs no MPI.
  std::unique_ptr<Communicator> tensor_parallel(const Topology& topology);
  std::unique_ptr<PlanChannel> plan_channel(const Topology& topology);

  // These return the ends of a link for rows between this rank and another of the same job. They are not
  // collective, and call no MPI before the link is used.
  std::unique_ptr<VisualLink> visual_sender(int peer) const;
  std::unique_ptr<VisualLink> visual_receiver(int peer) const;

  // These send a short text from one rank to another at start: the leader's address to its encoders.
  void send_text(const std::string& text, int peer);
  std::string receive_text(int peer, Duration limit);  // throws an Error after the limit

  // The leader tells a rank that works for it, with tell_end, that the job ends. Such a rank asks, with the
  // other, as often as it likes.
  void tell_end(int peer);
  bool told_to_end(int leader) const;

  // Calls ended(rank), on a thread of the watch, when the process of one of these ranks has ended, if it ran
  // on this host. The watch is given up before the World, because processes also end at a regular end.
  std::unique_ptr<ProcessWatch> watch(const std::vector<int>& ranks,
                                      std::function<void(int rank)> ended) const;

  // Ends every rank of the job now. Any thread may call it. It flushes the log first.
  [[noreturn]] void abort(int status);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace uhd
