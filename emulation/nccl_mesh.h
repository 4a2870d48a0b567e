// One rank of a communicator of the NCCL stand-in: sockets to all others, and the operations in their order.
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
  int peer = -1;  // root of a broadcast; the other side of a message
  const void* from = nullptr;
  void* to = nullptr;
};

size_t size_of_type(ncclDataType_t type);

// Thread-safe: calls come from the communicator's thread, operations run on whatever thread drives their
// stream. A thread of its own meets the others, and then drives the stream while a peer waits for what is
// queued there, as a device would.
class NcclRank {
 public:
  // Opens the socket where the ranks of one communicator will meet; this process serves it.
  static bool make_id(ncclUniqueId& id);

  NcclRank(const ncclUniqueId& id, int rank, int size, bool blocking);
  // Aborts: operations that are not done end without effect. As the library, the last rank of a communicator
  // in this process then waits until no graph holds an operation of any of them; for so long that a test has
  // failed.
  ~NcclRank();
  NcclRank(const NcclRank&) = delete;
  NcclRank& operator=(const NcclRank&) = delete;

  int size() const;
  bool blocking() const;
  // Blocking ones: until all have met, or until what is queued is done and no graph holds any of it.
  ncclResult_t wait_met();
  ncclResult_t wait_finalized();
  // Whether a call may be made.
  bool ready() const;
  // ncclCommGetAsyncError.
  ncclResult_t ask();
  std::string error() const;

  // At once, or on a thread made for it where the communicator is non-blocking.
  ncclResult_t queue(const NcclCall& call, cudaStream_t stream);
  void finalize();
  bool finalized() const;

  struct State;

 private:
  std::shared_ptr<State> state_;
};

}  // namespace uhd::emulation
