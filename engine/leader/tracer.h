// Chooses requests to trace, gathers what all ranks tell of them, and writes a file for each.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cluster/clock_offset.h"
#include "engine/leader/trace_files.h"
#include "engine/leader/trace_record.h"
#include "engine/options.h"
#include "engine/request.h"

namespace uhd {

// The engine's thread uses it, but for begin(). Steps are timed on all LLM ranks while a traced request is
// there, and at no other time. The clocks of LLM ranks are measured by plans and reports of such steps
// (cluster/clock_offset.h), those of encoders by slices and their rows (EncoderPool).
class Tracer {
 public:
  // `followers`: the LLM ranks but for the leader.
  Tracer(const TraceOptions& options, int followers);
  ~Tracer();  // writes what has ended

  // From any thread: returns a record if the request is chosen. So are all that their client samples, and a
  // share of the others; but at most 16 are traced at once.
  std::shared_ptr<TraceRecord> begin(RequestId id, const Request& request);

  void arrived(std::shared_ptr<TraceRecord> record) { live_.push_back(std::move(record)); }
  // Returns whether steps are to be timed.
  bool times_steps() const { return !live_.empty(); }
  void launched(uint64_t step, TimePoint when);
  void reported(const StepReport& report, TimePoint came);
  // The request has ended. Its file is written once all ranks have told of its last step, or after a second.
  void ended(const std::shared_ptr<TraceRecord>& record, const std::string& finish, TimePoint now);
  // Returns whether reports are awaited.
  bool awaits_reports() const { return !live_.empty() || !ending_.empty(); }
  void poll(TimePoint now);

 private:
  struct Ending {
    std::shared_ptr<TraceRecord> record;
    TimePoint latest;
  };
  bool complete(const TraceRecord& record) const;
  void write(const std::shared_ptr<const TraceRecord>& record);

  const double share_;
  const int followers_;
  const std::shared_ptr<std::atomic<int>> open_ = std::make_shared<std::atomic<int>>(0);
  std::vector<std::shared_ptr<TraceRecord>> live_;
  std::vector<Ending> ending_;
  std::map<uint64_t, TimePoint> launched_;  // the launches of the last timed steps
  std::map<int, ClockOffset> clocks_;
  TraceFiles files_;
};

}  // namespace uhd
