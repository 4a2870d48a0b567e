// The EncoderPool decides which encoder does which slice: it is the leader's queue, with placement, slices in
// flight, retries and loss. It is a state machine over plain data and given times; remote_encoders does
// sockets, links and the transport of pixels.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/rate.h"
#include "cluster/clock_offset.h"
#include "cluster/encoders/control_server.h"
#include "cluster/encoders/liveness.h"
#include "engine/encoder_state.h"
#include "engine/turns.h"
#include "model/vision/slicer.h"

namespace uhd {

using JobId = uint64_t;

struct EncoderPoolLimits {
  int retries = 2;  // tries of one slice, after its first
  Duration no_encoder_wait = from_seconds(10);
  Duration first_rest =
      from_seconds(1);  // the rest of an encoder that failed; it doubles with each further failure
  Duration longest_rest = from_seconds(60);
  LivenessLimits liveness;
};

// A SliceJob is one slice to encode, the shape of its result, and the client that wants it first and how
// urgently.
struct SliceJob {
  std::shared_ptr<const Slice> slice;
  int rows = 0;
  int64_t patches = 0;
  std::string client;
  Urgency urgency = {};
};

// Says how a slice went its way, by this rank's clock.
struct SliceCourse {
  EncoderId encoder = 0;             // the encoder that made it; 0 is this rank
  TimePoint sent;                    // the time when its job went to that encoder
  TimePoint begun;                   // the time when its pass began there
  std::optional<TimePoint> encoded;  // the time when its rows were ready there; a device does not tell
};

// An EncoderPool is not thread-safe. Slices are known by their fingerprints, one at a time for each. They go
// by priority, and clients share the encoders by patches (Turns). A slice that is tried again goes before
// them.
//
// An encoder that fails a slice rests: others are preferred until its time is over, and then it gets one
// slice at a time until it does one well. Nobody knows whether the slice or the encoder is bad, so if all
// rest, all are used as if none did. A slice goes to the encoders that have not failed it yet, as long as
// there are any.
class EncoderPool {
 public:
  explicit EncoderPool(EncoderPoolLimits limits) : limits_(limits), liveness_(limits.liveness) {}

  // Adds a slice to encode. It ends in exactly one Outcome, unless cancel() says that it is gone.
  void add(SliceJob job, TimePoint now);
  // Says that nobody wants the slice. Returns true if it is gone, from its encoder, too, to which tick() says
  // so. Returns false if it runs on and ends in an Outcome: an encoder does its oldest slice already, as far
  // as is known here, and rows on their way arrive.
  bool cancel(const Fingerprint& fingerprint, TimePoint now);
  // Somebody else wants the slice too, and perhaps more urgently. Without effect once it was sent.
  void hasten(const Fingerprint& fingerprint, const Urgency& urgency);

  void joined(EncoderId encoder, int capacity, TimePoint now);
  void heard(EncoderId encoder, TimePoint now) { liveness_.heard(encoder, now); }
  // Removes an encoder; its slices are tried elsewhere.
  void left(EncoderId encoder, const std::string& reason, TimePoint now);

  // A Send is a slice to send now. Each goes to the encoder that is likely to end it first, by what it has to
  // do and by its measured speed, among the best with room. One whose speed is unknown has the mean speed of
  // the others.
  struct Send {
    EncoderId encoder = 0;
    JobId job = 0;
    std::shared_ptr<const Slice> slice;
  };
  std::vector<Send> dispatch(TimePoint now);

  // Says that the encoder has rows ready; `told` is its message, whose stamps say by its clock when it made
  // them. Returns nothing if the job is no longer its own; its rows are then to be dropped there.
  std::optional<SliceJob> encoded(EncoderId encoder, JobId job, TimePoint now, const Encoded& told = {});
  // Returns true if the job is still this encoder's.
  bool awaits(EncoderId encoder, JobId job) const;
  // Says that the leader begins to fetch the rows.
  void fetch_begun(EncoderId encoder, JobId job, TimePoint now);
  // Says that the rows are here and sound.
  void received(EncoderId encoder, JobId job, TimePoint now);
  // Says that the encoder failed, or that its rows were wrong.
  void failed(EncoderId encoder, JobId job, const std::string& reason, TimePoint now);

  struct Outcome {
    Fingerprint fingerprint;
    bool ok = false;
    bool no_encoder = false;  // true if it failed because there was no encoder
    std::string reason;
    TimePoint first_sent;
    SliceCourse course;  // set if it is ok
  };
  std::vector<Outcome> take_outcomes();

  // A Verdict names jobs to cancel at their encoder, which are overdue and queued again here or which nobody
  // wants, and encoders to close.
  struct Verdict {
    struct Cancelled {
      EncoderId encoder = 0;
      JobId job = 0;
    };
    std::vector<Cancelled> cancel;
    std::vector<std::pair<EncoderId, std::string>> close;
  };
  Verdict tick(TimePoint now);
  std::optional<TimePoint> next_deadline() const;

  size_t encoders() const { return encoders_.size(); }
  // Returns the seconds of a patch at the mean of the speeds that are known.
  std::optional<double> patch_seconds() const;
  std::vector<EncoderState> states(TimePoint now) const;
  size_t queued() const { return again_.size() + queue_.size(); }
  int64_t retries() const { return retries_; }

 private:
  struct Waiting {
    SliceJob job;
    int tries = 0;
    std::set<EncoderId> failed_by;
    std::optional<TimePoint> first_sent;
    SliceCourse course;  // the course of the last try
  };
  enum class Stage : uint8_t { sent, encoded, fetched };
  struct Flight {
    Waiting waiting;
    EncoderId encoder = 0;
    Stage stage = Stage::sent;
  };
  struct Peer {
    int capacity = 1;
    int jobs = 0;
    int taken_back = 0;   // slices that were sent to it, and lie there until it reads that nobody wants them
    int64_t patches = 0;  // outstanding
    int failures = 0;     // failures in a row
    TimePoint rests_until;
    TimePoint busy_since;  // the end of its last slice, or the time when it got a job and had none
    Rate speed;            // its units are patches, transfer included
    int64_t encoded = 0;   // slices so far
    int64_t failed = 0;
    ClockOffset clock;  // known from the jobs that it took and their rows
    int room() const { return failures > 0 ? 1 : capacity; }  // the slices it may have at once
  };
  std::optional<EncoderId> choose(const Waiting& waiting, TimePoint now) const;
  void send(Waiting waiting, EncoderId encoder, TimePoint now, std::vector<Send>& sends);
  void rest(Peer& peer, TimePoint now);
  Waiting land(std::map<JobId, Flight>::iterator flight);
  void try_again(Waiting waiting, EncoderId encoder, const std::string& reason);
  static void note_work(const ClockOffset& clock, const Encoded& told, TimePoint now, SliceCourse& course);
  // An encoder reads what was sent to it between two passes.
  void reads_its_mail(EncoderId encoder);
  bool has_rows(EncoderId encoder) const;
  std::map<JobId, Flight>::iterator flight_of(EncoderId encoder, JobId job);

  EncoderPoolLimits limits_;
  EncoderLiveness liveness_;
  std::map<EncoderId, Peer> encoders_;
  std::deque<Waiting> again_;  // slices that failed, the first to be sent first
  Turns<Waiting> queue_;       // the other slices
  std::map<JobId, Flight> flights_;
  std::vector<Verdict::Cancelled> unwanted_;  // jobs to cancel at their encoders
  std::vector<Outcome> outcomes_;
  std::optional<TimePoint> empty_since_;  // slices wait without any encoder since this time
  JobId last_job_ = 0;
  int64_t retries_ = 0;
};

}  // namespace uhd
