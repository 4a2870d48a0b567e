// An NcclRank is one rank of a communicator of the NCCL stand-in: it has sockets to all others, and runs the
// operations in their order.
#pragma once

#include <nccl.h>

#include <cstdint>
#include <memory>
#include <string>

namespace uhd::emulation {

enum class NcclKind : uint8_t { all_reduce, all_gather, broadcast, send, receive };

struct NcclCall {
  NcclKind kind = NcclKind::all_reduce;
  ncclDataType_t type = ncclFloat32;
  size_t count = 0;
  int peer = -1;  // the root of a broadcast, or the other side of a message
  const void* from = nullptr;
  void* to = nullptr;
};

size_t size_of_type(ncclDataType_t type);

// An NcclRank is thread-safe: calls come from the communicator's thread, and operations run on whatever
// thread drives their stream. A thread of its own meets the others, and then drives the stream while a peer
// waits for the work queued there, as a device would.
class NcclRank {
 public:
  // Opens the socket where the ranks of one communicator will meet; this process serves it.
  static bool make_id(ncclUniqueId& id);

  NcclRank(const ncclUniqueId& id, int rank, int size, bool blocking);
  // Aborts: operations that are not done end without effect. As in the library, the last rank of a
  // communicator in this process then waits until no graph holds an operation of any of them; it waits so
  // long that a test has failed by then.
  ~NcclRank();
  NcclRank(const NcclRank&) = delete;
  NcclRank& operator=(const NcclRank&) = delete;

  int size() const;
  bool blocking() const;
  // These block: wait_met until all have met, and the other until the queued work is done and no graph holds
  // any of it.
  ncclResult_t wait_met();
  ncclResult_t wait_finalized();
  // Returns true if a call may be made.
  bool ready() const;
  // Implements ncclCommGetAsyncError.
  ncclResult_t ask();
  std::string error() const;

  // Queues at once, or on a thread made for it if the communicator is non-blocking.
  ncclResult_t queue(const NcclCall& call, cudaStream_t stream);
  void finalize();
  bool finalized() const;

  struct State;

 private:
  std::shared_ptr<State> state_;
};

}  // namespace uhd::emulation
