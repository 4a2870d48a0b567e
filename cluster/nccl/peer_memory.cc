#include "cluster/nccl/peer_memory.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <deque>
#include <fstream>
#include <mutex>
#include <random>

#include "kernels/cuda/check.h"
#include "kernels/cuda/peer_sum.h"

namespace uhd {
namespace {

// The kernel's name of this boot, the same in every container.
std::array<char, 40> this_machine() {
  std::ifstream file("/proc/sys/kernel/random/boot_id");
  std::string id;
  std::getline(file, id);
  std::array<char, 40> name{};
  id.copy(name.data(), name.size() - 1);
  return name;
}

// Numbers of processes repeat between containers.
uint64_t this_process() {
  static const uint64_t drawn = [] {
    std::random_device random;
    return (uint64_t{random()} << 32) | random();
  }();
  return drawn;
}

template <class T>
std::vector<T> exchange_all(const Exchange& exchange, const T& own) {
  const std::vector<std::byte> bytes = exchange(std::as_bytes(std::span(&own, 1)));
  std::vector<T> all(bytes.size() / sizeof(T));
  std::memcpy(all.data(), bytes.data(), bytes.size());
  return all;
}

std::string failure(const char* doing, cudaError_t status) {
  if (status == cudaSuccess) return "";
  cudaGetLastError();  // not sticky: the next launch must not find it
  return message(doing, ": ", cudaGetErrorString(status));
}

std::string enable_access(int from, int to) {
  int can = 0;
  cudaError_t status = cudaDeviceCanAccessPeer(&can, from, to);
  if (status == cudaSuccess && can == 0) return message("device ", from, " does not reach device ", to);
  if (status == cudaSuccess) status = cudaDeviceEnablePeerAccess(to, 0);
  if (status == cudaErrorPeerAccessAlreadyEnabled) {
    cudaGetLastError();
    return "";
  }
  return failure("peer access", status);
}

// Never freed, and reachable, so that no search for leaks takes it for one.
cuda::DeviceMemory& kept(cuda::DeviceMemory buffer) {
  static std::mutex mutex;
  static auto& all = *new std::deque<cuda::DeviceMemory>;
  std::lock_guard lock(mutex);
  return all.emplace_back(std::move(buffer));
}

}  // namespace

std::string peer_obstacle(std::span<const PeerCard> cards) {
  if (cards.size() > static_cast<size_t>(cuda::kMostPeers))
    return message("the group has more than ", cuda::kMostPeers, " ranks");
  const auto elsewhere = [&](const PeerCard& card) { return card.machine != cards[0].machine; };
  return std::any_of(cards.begin(), cards.end(), elsewhere) ? "its ranks are on several hosts" : "";
}

PeerMemory::PeerMemory(cuda::Backend& backend, cuda::DeviceMemory own, int rank, const Exchange& exchange)
    : backend_(backend), own_(kept(std::move(own))) {
  backend_.stream();  // the device becomes this thread's
  PeerCard card{this_machine(), this_process(), 0, reinterpret_cast<uint64_t>(own_.get()), {}};
  cuda::check_cuda(cudaGetDevice(&card.device), "asking for the device");
  std::string trouble = failure("exporting memory", cudaIpcGetMemHandle(&card.handle, own_.get()));
  const auto cards = exchange_all(exchange, card);
  addresses_.resize(cards.size());
  obstacle_ = peer_obstacle(cards);
  if (!obstacle_.empty()) return;
  if (trouble.empty()) trouble = open(cards, rank);
  std::array<char, 192> told{};
  trouble.copy(told.data(), told.size() - 1);
  const auto all = exchange_all(exchange, told);
  for (size_t r = 0; r < all.size() && obstacle_.empty(); ++r) {
    if (all[r][0] != '\0') obstacle_ = message("rank ", r, ": ", all[r].data());
  }
}

std::string PeerMemory::open(std::span<const PeerCard> cards, int rank) {
  const PeerCard& own = cards[static_cast<size_t>(rank)];
  for (size_t r = 0; r < cards.size(); ++r) {
    const PeerCard& card = cards[r];
    std::string trouble;
    if (card.process == own.process) {
      addresses_[r] = reinterpret_cast<void*>(card.address);
      if (card.device != own.device) trouble = enable_access(own.device, card.device);
    } else {
      trouble = failure("opening a peer's memory",
                        cudaIpcOpenMemHandle(&addresses_[r], card.handle, cudaIpcMemLazyEnablePeerAccess));
      if (trouble.empty()) opened_.push_back(addresses_[r]);
    }
    if (!trouble.empty()) return trouble;
  }
  return "";
}

PeerMemory::~PeerMemory() {
  for (void* p : opened_) cudaIpcCloseMemHandle(p);
}

}  // namespace uhd
