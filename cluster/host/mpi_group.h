// A group of MPI ranks moving bytes. MPI itself is seen by mpi_group.cc alone.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace uhd {

// True if a launcher started this process as one of several.
bool launched_by_mpi();
void start_mpi();
void leave_mpi();
[[noreturn]] void abort_mpi(int status);

// One message under way, with the bytes it needs. Destroyed while pending, it leaves them with its group
// until MPI is done with them.
class MpiRequest {
 public:
  MpiRequest();
  MpiRequest(MpiRequest&&) noexcept;
  MpiRequest& operator=(MpiRequest&&) noexcept;
  ~MpiRequest();

  bool pending() const { return state_ != nullptr; }
  // Whether it is complete; then, of a receive, the bytes. Not after it has said so.
  std::optional<std::vector<std::byte>> test();

 private:
  friend class MpiGroup;
  struct State;
  explicit MpiRequest(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// A communicator of its own. Copies are the same group; it is freed when MPI ends, since freeing it earlier
// would be a collective call. Calls that fail are an Error; one thread at a time over all groups.
class MpiGroup {
 public:
  // Collective over all ranks of the launch.
  static MpiGroup world();
  // Collective over this group: ranks that name the same colour, in the order of their ranks here.
  MpiGroup split(int colour) const;
  MpiGroup duplicate() const;

  int rank() const;
  int size() const;

  // Collective, equal sizes on all ranks; `bytes` is each rank's part, below 2 GiB.
  void all_gather(void* out, const void* x, size_t bytes) const;
  // As all_gather, with this rank's part already in its place.
  void all_gather_in_place(void* x, size_t bytes) const;
  // out[r] = what rank r has in x[this rank].
  void all_to_all(void* out, const void* x, size_t bytes) const;
  void broadcast(void* x, size_t bytes, int root) const;
  void barrier() const;

  void send(const void* x, size_t bytes, int peer, int tag) const;
  // A message of another size is an Error.
  void receive(void* x, size_t bytes, int peer, int tag) const;
  // Bytes of the next message from this peer, if it is there.
  std::optional<size_t> probe(int peer, int tag) const;

  MpiRequest start_send(std::vector<std::byte> bytes, int peer, int tag) const;
  MpiRequest start_receive(size_t bytes, int peer, int tag) const;

 private:
  struct Handle;
  friend struct MpiRequest::State;
  explicit MpiGroup(std::shared_ptr<Handle> handle) : handle_(std::move(handle)) {}
  std::shared_ptr<Handle> handle_;
};

}  // namespace uhd
