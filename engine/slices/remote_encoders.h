// RemoteEncoders are the encoder ranks as the leader sees them: slices go out over the control channel, and
// rows come back over one link for each encoder.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <set>

#include "cluster/encoders/control_server.h"
#include "cluster/visual_link.h"
#include "engine/metrics.h"
#include "engine/slices/slice_encoders.h"

namespace uhd {

class RemoteEncoders final : public SliceEncoders {
 public:
  // The references are borrowed.
  RemoteEncoders(ControlServer& server, RowBuffers& buffers, EncoderPoolLimits limits, Metrics& metrics)
      : server_(server),
        buffers_(buffers),
        metrics_(metrics),
        pool_(limits),
        job_deadline_s_(seconds(limits.liveness.job_deadline)) {}

  void add(SliceJob job, TimePoint now) override { pool_.add(std::move(job), now); }
  bool cancel(const Fingerprint& fingerprint) override { return pool_.cancel(fingerprint, Clock::now()); }
  void hasten(const Fingerprint& fingerprint, const Urgency& urgency) override {
    pool_.hasten(fingerprint, urgency);
  }
  std::vector<EncodedSlice> poll(TimePoint now, const EncodingTurn& turn) override;
  std::optional<TimePoint> next_poll(TimePoint now) const override;
  int encoders() const override { return static_cast<int>(pool_.encoders()); }
  std::optional<double> patch_seconds() const override { return pool_.patch_seconds(); }
  int queued() const override { return static_cast<int>(pool_.queued()); }

 private:
  // A Transfer holds rows that an encoder has announced, with their memory from when they are on their way.
  struct Transfer {
    EncoderId encoder = 0;
    JobId job = 0;
    Fingerprint fingerprint;
    int count = 0;
    StagedRows rows;
  };
  struct Peer {
    int capacity = 1;
    bool met = false;                  // true once the link stands and the pool knows the encoder
    std::set<JobId> announced;         // jobs whose rows wait, are on their way or are judged
    std::deque<Transfer> moving;       // transfers in the link's order
    uint64_t moved = 0;                // the transfers that ended on the link
    std::unique_ptr<VisualLink> link;  // destroyed before the rows that it may be writing to
  };
  // A Departed holds what an encoder that left still uses: its link ends when it can, and nobody waits for
  // that.
  struct Departed {
    std::deque<Transfer> moving;
    std::unique_ptr<VisualLink> link;
  };
  void joined(EncoderId encoder, EncoderJoined& hello, TimePoint now);
  // Runs `work` with one encoder: an exception ends the connection with that encoder, and nothing else.
  template <class Work>
  void guarded(EncoderId encoder, const Work& work);
  void handle(ServerEvent& event);
  void left(EncoderId encoder, const std::string& reason, TimePoint now);
  void encoded(EncoderId encoder, const Encoded& what, TimePoint now);
  void meet(EncoderId encoder, Peer& peer, TimePoint now);
  void advance(EncoderId encoder, Peer& peer, TimePoint now);
  void part_with_departed();
  void tell_states(TimePoint now);
  size_t share() const;
  void begin_transfers(TimePoint now);
  void begin(Peer& peer, Transfer transfer, TimePoint now);
  void arrived(Peer& peer);
  void settle(TimePoint now);
  void obey(const EncoderPool::Verdict& verdict);
  void send_slices(TimePoint now);
  void collect();

  ControlServer& server_;
  RowBuffers& buffers_;
  Metrics& metrics_;
  EncoderPool pool_;
  std::map<EncoderId, Peer> peers_;
  std::vector<Departed> departed_;
  std::deque<Transfer> waiting_;               // announced, in order, until there is memory for the rows
  std::deque<Transfer> judged_;                // arrived, until it is known whether their values are numbers
  std::map<Fingerprint, StagedRows> arrived_;  // kept until their outcome is told
  std::vector<EncodedSlice> ended_;
  double job_deadline_s_;
  TimePoint states_told_{};
  int64_t retries_seen_ = 0;
};

}  // namespace uhd
