// Keeps a rank's threads on one NUMA node (numa(7)). Its weights and KV pages then lie there too, because the
// system gives a page of the node whose thread touches it first: the rank's threads pack the weights and
// write the pages that they read later.
#pragma once

#include <filesystem>
#include <span>
#include <vector>

namespace uhd {

struct NumaNode {
  int number = 0;
  std::vector<int> cores;  // ascending
};

// Returns the nodes of this host that have cores, in order. The result is empty if the system does not say.
// `root` is where /sys lies, for tests.
std::vector<NumaNode> numa_nodes(const std::filesystem::path& root = "/");

// Returns the cores for one of `ranks` ranks of a host, out of those that it is allowed: whole nodes if there
// are as many nodes as ranks, else its even share of one node's cores. The result is all that are allowed
// where somebody bound the rank before, so that none of them lies on some node, on hosts of one node, and for
// a single rank, which uses the whole host.
std::vector<int> cores_of_rank(std::span<const NumaNode> nodes, std::span<const int> allowed, int rank,
                               int ranks);

// Binds the calling thread, and with it the threads that it makes, to the cores of this rank. It does nothing
// where those are all that it is allowed, and warns if the system refuses.
void stay_on_node(int rank, int ranks);

}  // namespace uhd
