// The loop of an encoder rank: takes slices, batches them, encodes, announces, and sends the
// rows when the leader says go.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <unordered_map>

#include "cluster/encoders/control_client.h"
#include "engine/slices/batch_encoder.h"
#include "engine/slices/row_buffers.h"
#include "engine/slices/slice_encoders.h"

namespace uhd {

struct EncoderWorkerOptions {
  int64_t batch_patches = 1024;
  int patch = 14;
};

// Used by one thread, which on MPI ranks is the MPI thread. References are borrowed.
class EncoderWorker {
 public:
  EncoderWorker(ControlClient& leader, EncodeSlices encode, std::function<int(const Slice&)> rows_of,
                RowBuffers& buffers, EncoderWorkerOptions options)
      : leader_(leader),
        batches_(std::move(encode), buffers),
        rows_of_(std::move(rows_of)),
        buffers_(buffers),
        options_(options) {}

  // Works until `ended`, which is asked between batches and many times a second, says so. A lost leader is
  // tried for ever: who launched this encoder knows when that has no more use. A leader that refuses it is an
  // Error with its reason.
  void run(const std::function<bool()>& ended);

 private:
  struct Job {
    uint64_t id = 0;
    Slice slice;
    Duration deadline;
    TimePoint came;
  };
  void handle(ClientEvent& event);
  void forget_everything();
  void drop(uint64_t job);
  void encode_batch();
  int64_t pass_patches() const;
  void announce(const Job& job, StagedRows rows, const BatchEncoder::Pass& pass, double took);
  void advance_link();
  void end_sent();
  bool may_encode() const { return !queue_.empty() && buffers_.free() > 0; }

  ControlClient& leader_;
  BatchEncoder batches_;
  std::function<int(const Slice&)> rows_of_;
  RowBuffers& buffers_;
  EncoderWorkerOptions options_;
  std::deque<Job> queue_;
  double patches_a_second_ = 0;                     // 0 before a pass was measured
  std::unordered_map<uint64_t, StagedRows> ready_;  // encoded, kept until Done or Cancel
  std::deque<uint64_t> go_;                         // jobs whose rows are to be sent, in order
  std::deque<uint64_t> sending_;                    // begun and not ended, in order
  std::set<uint64_t> cancelled_;                    // jobs among `sending_`
  uint64_t sent_ = 0;                               // rows' transfers that this link has ended
  bool connecting_ = false;                         // the link is polled until it stands
  std::unique_ptr<VisualLink> link_;                // destroyed before the memory that it may be reading
};

}  // namespace uhd
