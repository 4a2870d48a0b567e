#include "base/numa.h"

#include <sched.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <string>

#include "base/error.h"
#include "base/log.h"

namespace uhd {
namespace {

namespace fs = std::filesystem;

// Reads a list such as "0-3,8,10-11".
std::vector<int> cores_in(const fs::path& path) {
  std::ifstream file(path);
  std::vector<int> cores;
  int first = 0;
  while (file >> first) {
    int last = first;
    if (file.peek() == '-') {
      file.ignore();
      file >> last;
    }
    for (int core = first; core >= 0 && core <= std::min(last, CPU_SETSIZE - 1); ++core)
      cores.push_back(core);
    if (file.peek() == ',') file.ignore();
  }
  std::ranges::sort(cores);
  return cores;
}

std::vector<int> allowed_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  std::vector<int> cores;
  if (sched_getaffinity(0, sizeof(set), &set) != 0) return cores;
  for (int core = 0; core < CPU_SETSIZE; ++core)
    if (CPU_ISSET(core, &set)) cores.push_back(core);
  return cores;
}

}  // namespace

std::vector<NumaNode> numa_nodes(const fs::path& root) {
  std::vector<NumaNode> nodes;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(root / "sys/devices/system/node", error)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with("node") || name.size() < 5 || name.size() > 9) continue;
    if (!std::all_of(name.begin() + 4, name.end(), [](char c) { return c >= '0' && c <= '9'; })) continue;
    NumaNode node{std::stoi(name.substr(4)), cores_in(entry.path() / "cpulist")};
    if (!node.cores.empty()) nodes.push_back(std::move(node));
  }
  std::ranges::sort(nodes, {}, &NumaNode::number);
  return nodes;
}

std::vector<int> cores_of_rank(std::span<const NumaNode> nodes, std::span<const int> allowed, int rank,
                               int ranks) {
  check(rank >= 0 && rank < ranks, "rank ", rank, " of ", ranks, " on this host");
  std::vector<std::vector<int>> usable;
  for (const NumaNode& node : nodes) {
    std::vector<int> cores;
    std::ranges::copy_if(node.cores, std::back_inserter(cores),
                         [&](int core) { return std::ranges::find(allowed, core) != allowed.end(); });
    if (!cores.empty()) usable.push_back(std::move(cores));
  }
  const auto count = static_cast<int>(usable.size());
  const bool bound = usable.size() < nodes.size();  // the ranks may be bound to different nodes
  if (bound || count < 2 || ranks < 2) return {allowed.begin(), allowed.end()};
  // Ranks and nodes follow each other evenly: rank r begins at node r · count / ranks.
  const int first = rank * count / ranks;
  if (ranks <= count) {
    std::vector<int> cores;
    for (int node = first; node < (rank + 1) * count / ranks; ++node)
      cores.insert(cores.end(), usable[static_cast<size_t>(node)].begin(),
                   usable[static_cast<size_t>(node)].end());
    return cores;
  }
  const std::vector<int>& cores = usable[static_cast<size_t>(first)];
  const auto begins = [&](int node) { return (node * ranks + count - 1) / count; };  // its first rank
  const int sharers = begins(first + 1) - begins(first), place = rank - begins(first);
  const auto size = static_cast<int>(cores.size());
  if (sharers > size) return cores;
  return {cores.begin() + size * place / sharers, cores.begin() + size * (place + 1) / sharers};
}

void stay_on_node(int rank, int ranks) {
  const std::vector<int> allowed = allowed_cores();
  const std::vector<int> cores = cores_of_rank(numa_nodes(), allowed, rank, ranks);
  if (cores.size() == allowed.size()) return;
  cpu_set_t set;
  CPU_ZERO(&set);
  for (const int core : cores) CPU_SET(core, &set);
  if (sched_setaffinity(0, sizeof(set), &set) != 0)
    return log_warning("this rank is not bound to its NUMA node", "because", std::strerror(errno));
  log_info("this rank stays on its NUMA node", "cores", cores.size(), "first", cores.front());
}

}  // namespace uhd
