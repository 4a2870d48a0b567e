#include "cluster/host/mpi_communicator.h"

#include <algorithm>
#include <cstring>

#include "cluster/host/local_communicator.h"
#include "cluster/host/rank_sum.h"

namespace uhd {
namespace {

constexpr size_t kSmallBytes = size_t{64} << 10;  // per rank; above it, parts
constexpr size_t kChunkBytes = size_t{16} << 20;  // bounds the scratch of large sums
constexpr size_t kMessageBytes = size_t{1} << 30;
constexpr int kTag = 0;

class MpiCommunicator final : public Communicator {
 public:
  explicit MpiCommunicator(MpiGroup group) : group_(std::move(group)) {}

  int rank() const override { return group_.rank(); }
  int size() const override { return group_.size(); }

  void all_reduce(Tensor x) override {
    check_dense(x);
    auto* data = static_cast<std::byte*>(x.raw());
    const size_t each = size_of(x.dtype());
    const size_t total = static_cast<size_t>(x.elements());
    const size_t chunk = kChunkBytes / each;
    for (size_t at = 0; at < total; at += chunk) {
      reduce_chunk(x.dtype(), data + at * each, std::min(chunk, total - at));
    }
  }

  void all_gather(Tensor out, Tensor x) override {
    check_dense(x);
    check_dense(out);
    check(out.dtype() == x.dtype() && out.elements() == x.elements() * size(),
          "all_gather needs room for every rank's tensor");
    if (x.bytes() > 0) group_.all_gather(out.raw(), x.raw(), x.bytes());
  }

  void broadcast(Tensor x, int root) override {
    check_peer(root);
    in_messages(x, [&](void* data, size_t bytes) { group_.broadcast(data, bytes, root); });
  }
  void send(Tensor x, int peer) override {
    check_peer(peer);
    in_messages(x, [&](void* data, size_t bytes) { group_.send(data, bytes, peer, kTag); });
  }
  void receive(Tensor x, int peer) override {
    check_peer(peer);
    in_messages(x, [&](void* data, size_t bytes) { group_.receive(data, bytes, peer, kTag); });
  }
  void barrier() override { group_.barrier(); }

 private:
  void reduce_chunk(DType dtype, std::byte* data, size_t count) {
    const size_t each = size_of(dtype);
    if (count * each <= kSmallBytes) {
      reduce_small(dtype, data, count);
      return;
    }
    const size_t part = count / static_cast<size_t>(size());
    reduce_parts(dtype, data, part);
    const size_t done = part * static_cast<size_t>(size());
    if (done < count) reduce_small(dtype, data + done * each, count - done);
  }

  void reduce_small(DType dtype, std::byte* data, size_t count) {
    const size_t bytes = count * size_of(dtype);
    std::byte* everyone = scratch(bytes * static_cast<size_t>(size()));
    group_.all_gather(everyone, data, bytes);
    sum_in_rank_order(dtype, data, parts_of(everyone, bytes), count);
  }

  // size() parts of `count` elements: rank r sums part r of everyone.
  void reduce_parts(DType dtype, std::byte* data, size_t count) {
    const size_t bytes = count * size_of(dtype);
    std::byte* everyone = scratch(bytes * static_cast<size_t>(size()));
    group_.all_to_all(everyone, data, bytes);
    std::byte* mine = data + bytes * static_cast<size_t>(rank());
    sum_in_rank_order(dtype, mine, parts_of(everyone, bytes), count);
    group_.all_gather_in_place(data, bytes);
  }

  std::span<const void* const> parts_of(const std::byte* everyone, size_t bytes) {
    parts_.clear();
    for (size_t r = 0; r < static_cast<size_t>(size()); ++r) parts_.push_back(everyone + r * bytes);
    return parts_;
  }

  std::byte* scratch(size_t bytes) {
    if (scratch_.size() < bytes) scratch_.resize(bytes);
    return scratch_.data();
  }

  template <class F>
  void in_messages(Tensor x, const F& move) {
    check_dense(x);
    auto* data = static_cast<std::byte*>(x.raw());
    for (size_t at = 0; at < x.bytes(); at += kMessageBytes) {
      move(data + at, std::min(kMessageBytes, x.bytes() - at));
    }
  }
  static void check_dense(Tensor x) { check(x.dense(), "communicators take dense tensors"); }
  void check_peer(int peer) const { check(peer >= 0 && peer < size(), "there is no rank ", peer); }

  MpiGroup group_;
  std::vector<std::byte> scratch_;
  std::vector<const void*> parts_;
};

}  // namespace

std::unique_ptr<Communicator> make_mpi_communicator(MpiGroup group) {
  return std::make_unique<MpiCommunicator>(std::move(group));
}

std::unique_ptr<Communicator> make_single_communicator() {
  return std::move(make_local_communicators(1).front());
}

}  // namespace uhd
