// Writes a traced request in Chrome's trace format, which chrome://tracing and Perfetto read
// (https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMh4h6I0nSsKchNAySU).
#pragma once

#include <map>
#include <string>

#include "cluster/clock_offset.h"
#include "engine/leader/trace_record.h"

namespace uhd {

// Returns the whole file. A process of the trace is a rank: the leader is 1, LLM rank r is 10 + r, and
// encoder e is 1000 + e. A thread is one thing that does one thing after another: the request, an answer, an
// image, a slice, or a rank. All times are the leader's, in microseconds since the request's first byte;
// `clocks` say how those of the other LLM ranks follow, and steps of a rank without a clock are left out.
// Where two spans of a thread overlap by less than the clocks are exact, the later one begins when the
// earlier one ends.
std::string chrome_trace(const TraceRecord& record, const std::map<int, ClockOffset>& clocks);

}  // namespace uhd
