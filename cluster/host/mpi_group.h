// An MpiGroup moves bytes between MPI ranks. Only mpi_group.cc sees MPI itself.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace uhd {

// Returns true if a launcher started this process as one of several.
bool launched_by_mpi();
void start_mpi();
void leave_mpi();
[[noreturn]] void abort_mpi(int status);

// An MpiRequest is one message under way, with the bytes it needs. If it is destroyed while pending, its
// group keeps the bytes until MPI is done with them.
class MpiRequest {
 public:
  MpiRequest();
  MpiRequest(MpiRequest&&) noexcept;
  MpiRequest& operator=(MpiRequest&&) noexcept;
  ~MpiRequest();

  bool pending() const { return state_ != nullptr; }
  // Returns nothing while the message is pending. Once it is complete, returns the received bytes (empty for
  // a send). It must not be called again after that.
  std::optional<std::vector<std::byte>> test();

 private:
  friend class MpiGroup;
  struct State;
  explicit MpiRequest(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// Each group has an MPI communicator of its own; copies are the same group. The communicator is freed when
// MPI ends, because freeing it earlier would be a collective call. Calls that fail are an Error. Only one
// thread at a time may use any of the groups.
class MpiGroup {
 public:
  // Returns the group of all ranks of the launch. The call is collective over them.
  static MpiGroup world();
  // Returns a group of the ranks that name the same colour, in the order of their ranks here. The call is
  // collective over this group.
  MpiGroup split(int colour) const;
  MpiGroup duplicate() const;

  int rank() const;
  int size() const;

  // Gathers `bytes` from each rank. The call is collective, with equal sizes on all ranks, below 2 GiB.
  void all_gather(void* out, const void* x, size_t bytes) const;
  // Works like all_gather, with this rank's part already in its place.
  void all_gather_in_place(void* x, size_t bytes) const;
  // Sets out[r] to the part that rank r has in x[this rank].
  void all_to_all(void* out, const void* x, size_t bytes) const;
  void broadcast(void* x, size_t bytes, int root) const;
  void barrier() const;

  void send(const void* x, size_t bytes, int peer, int tag) const;
  // Receives a message; one of another size is an Error.
  void receive(void* x, size_t bytes, int peer, int tag) const;
  // Returns the size in bytes of the next message from this peer, if it is there.
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
