#include "engine/leader/chrome_trace.h"

#include <algorithm>
#include <iomanip>
#include <sstream>

#include "base/error.h"
#include "base/log.h"

namespace uhd {

namespace {

constexpr int kLeader = 1;
constexpr int kFirstLlm = 10;
constexpr int kFirstEncoder = 1000;

constexpr int kRequestThread = 1;
constexpr int kFirstAnswerThread = 100;
constexpr int kFirstImageThread = 1000;
constexpr int kThreadsOfImage = 1000;  // the image itself, then its slices

using Thread = std::pair<int, int>;  // process, thread

struct Event {
  std::string name;
  double begin = 0;  // seconds
  double end = 0;
  std::string arguments;  // pairs of a JSON object
};

class ChromeTrace {
 public:
  ChromeTrace() { out_ << std::fixed << std::setprecision(3); }

  void add(Thread thread, Event event) { threads_[thread].push_back(std::move(event)); }
  void name(int process, std::string text) { processes_[process] = std::move(text); }
  void name(Thread thread, std::string text) { names_[thread] = std::move(text); }
  std::string text(const std::string& about) {
    out_ << R"({"displayTimeUnit":"ms","otherData":{)" << about << R"(},"traceEvents":[)";
    for (const auto& [process, text] : processes_) tell_name("process_name", {process, 0}, text);
    for (const auto& [thread, text] : names_) tell_name("thread_name", thread, text);
    for (auto& [thread, events] : threads_) tell(thread, events);
    out_ << "]}\n";
    return out_.str();
  }

 private:
  std::ostringstream& next() {
    if (!first_) out_ << ",\n";
    first_ = false;
    return out_;
  }
  void tell_name(const char* kind, Thread thread, const std::string& text) {
    next() << R"({"ph":"M","name":")" << kind << R"(","pid":)" << thread.first << R"(,"tid":)"
           << thread.second << R"(,"args":{"name":)" << json_value(text) << "}}";
  }
  // The outer of two that begin together goes first.
  void tell(Thread thread, std::vector<Event>& events) {
    std::ranges::stable_sort(events, [](const Event& a, const Event& b) {
      return a.begin != b.begin ? a.begin < b.begin : a.end > b.end;
    });
    std::vector<double> open;  // the ends of those that enclose the next
    for (Event& event : events) {
      while (!open.empty() && open.back() <= event.begin) open.pop_back();
      if (!open.empty() && event.end > open.back()) {
        event.begin = open.back();
        open.pop_back();
      }
      event.end = std::max(event.begin, event.end);
      open.push_back(event.end);
      next() << R"({"ph":"X","name":)" << json_value(event.name) << R"(,"pid":)" << thread.first
             << R"(,"tid":)" << thread.second << R"(,"ts":)" << event.begin * 1e6 << R"(,"dur":)"
             << (event.end - event.begin) * 1e6 << R"(,"args":{)" << event.arguments << "}}";
    }
  }

  std::ostringstream out_;
  bool first_ = true;
  std::map<int, std::string> processes_;
  std::map<Thread, std::string> names_;
  std::map<Thread, std::vector<Event>> threads_;
};

Thread thread_of(const TimelineSpan& span) {
  if (span.stage == Stage::encode && span.encoder > 0) return {kFirstEncoder + span.encoder, 1};
  if (span.image >= 0) return {kLeader, kFirstImageThread + span.image * kThreadsOfImage + span.slice + 1};
  if (span.answer >= 0) return {kLeader, kFirstAnswerThread + span.answer};
  return {kLeader, kRequestThread};
}

std::string name_of_thread(const TimelineSpan& span) {
  if (span.image >= 0 && span.slice >= 0) return message("image ", span.image, ", slice ", span.slice);
  if (span.image >= 0) return message("image ", span.image);
  return message("answer ", span.answer);
}

std::string arguments_of(const TimelineSpan& span) {
  std::string text;
  for (const auto& [name, value] : {std::pair{"image", span.image},
                                    {"slice", span.slice},
                                    {"encoder", span.encoder},
                                    {"answer", span.answer},
                                    {"tokens", span.tokens}}) {
    if (value >= 0) text += message(text.empty() ? "" : ",", '"', name, "\":", value);
  }
  return text;
}

void add_span(ChromeTrace& trace, const TimelineSpan& span) {
  const Thread thread = thread_of(span);
  if (thread.first != kLeader) {
    trace.name(thread.first, message("encoder ", span.encoder));
    trace.name(thread, "slices");
  } else if (thread.second != kRequestThread) {
    trace.name(thread, name_of_thread(span));
  }
  trace.add(thread, {name_of(span.stage), span.begin, span.end, arguments_of(span)});
}

}  // namespace

std::string chrome_trace(const TraceRecord& record, const std::map<int, ClockOffset>& clocks) {
  ChromeTrace trace;
  const auto since = [&](TimePoint time) { return std::max(0.0, seconds(time - record.zero)); };
  trace.name(kLeader, "leader");
  trace.name({kLeader, kRequestThread}, "request");
  trace.add({kLeader, kRequestThread}, {"request " + record.name, 0, since(record.ended), ""});
  for (const TimelineSpan& span : record.spans) add_span(trace, span);
  trace.name(kFirstLlm, "LLM rank 0 (leader)");
  trace.name({kFirstLlm, 1}, "steps");
  for (const TracedStep& step : record.steps) {
    trace.add({kFirstLlm, 1}, {message("step ", step.number), since(step.begun), since(step.ended),
                               message("\"rows\":", step.rows)});
  }
  double error = 0;
  for (const auto& [rank, report] : record.rank_steps) {
    const auto clock = clocks.find(rank);
    if (clock == clocks.end() || !clock->second.known()) continue;
    error = std::max(error, clock->second.error());
    trace.name(kFirstLlm + rank, message("LLM rank ", rank));
    trace.name({kFirstLlm + rank, 1}, "steps");
    trace.add({kFirstLlm + rank, 1},
              {message("step ", report.number), since(clock->second.here(report.begun)),
               since(clock->second.here(report.ended)), ""});
  }
  return trace.text(
      message("\"request\":", json_value(record.name), ",\"trace_id\":", json_value(record.context.id),
              ",\"parent_id\":", json_value(record.context.parent), ",\"finish\":", json_value(record.finish),
              ",\"begun_unix_us\":", record.unix_us, ",\"clock_error_us\":", error * 1e6));
}

}  // namespace uhd
