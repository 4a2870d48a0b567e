// Files of traced requests: what they hold, which requests get one, and how many are kept.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json/parse.hpp>
#include <fstream>
#include <set>
#include <thread>

#include "base/error.h"
#include "engine/leader/chrome_trace.h"
#include "engine/leader/tracer.h"
#include "tests/support/temporary_directory.h"

namespace uhd {
namespace {

namespace json = boost::json;
namespace fs = std::filesystem;
using ::testing::ElementsAre;

constexpr TimePoint kEpoch{std::chrono::hours(1)};
TimePoint after(double seconds) { return kEpoch + from_seconds(seconds); }

struct Folder : TemporaryDirectory {
  std::vector<std::string> files() const {
    std::set<std::string> names;
    for (const auto& entry : fs::directory_iterator(path())) names.insert(entry.path().filename());
    return {names.begin(), names.end()};
  }
};

// The spans of one rank's thread, as (name, begin, duration) in microseconds.
struct ToldSpan {
  std::string name;
  double begin = 0, duration = 0;
};
std::vector<ToldSpan> spans_of(const json::value& trace, int process, int thread) {
  std::vector<ToldSpan> spans;
  for (const json::value& event : trace.at("traceEvents").as_array()) {
    if (event.at("ph") != "X" || event.at("pid") != process || event.at("tid") != thread) continue;
    spans.push_back({std::string(event.at("name").as_string()), event.at("ts").to_number<double>(),
                     event.at("dur").to_number<double>()});
  }
  return spans;
}

TraceRecord record() {
  TraceRecord made;
  made.request = 7;
  made.name = "asked \"so\"";
  made.context = {"4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", true};
  made.zero = kEpoch;
  made.ended = after(1);
  made.finish = "stop";
  return made;
}

TEST(ChromeTrace, ARankIsAProcessAndWhatItDoesInOrderAThread) {
  TraceRecord made = record();
  made.spans = {{.stage = Stage::read, .begin = 0, .end = 0.1},
                {.stage = Stage::wait, .begin = 0.1, .end = 0.2, .image = 0, .slice = 1},
                {.stage = Stage::encode, .begin = 0.2, .end = 0.3, .image = 0, .slice = 1, .encoder = 2},
                {.stage = Stage::decode, .begin = 0.5, .end = 0.9, .answer = 0, .tokens = 4}};
  made.steps = {{41, after(0.5), after(0.6), 3}};
  made.rank_steps = {{1, {.number = 41, .rank = 1, .begun = 500, .ended = 600}},
                     {2, {.number = 41, .rank = 2, .begun = 500, .ended = 600}}};
  std::map<int, ClockOffset> clocks;  // rank 1's clock began an hour and a half second later; rank 2 has none
  clocks[1].exchanged(after(0.5), 400, 700, after(0.5) + std::chrono::nanoseconds(300));
  const json::value trace = json::parse(chrome_trace(made, clocks));
  EXPECT_EQ(trace.at("otherData").at("request"), "asked \"so\"");
  EXPECT_EQ(trace.at("otherData").at("trace_id").as_string(), json::string(made.context.id));
  EXPECT_EQ(trace.at("otherData").at("clock_error_us").to_number<double>(), 0);
  const auto request = spans_of(trace, 1, 1);
  ASSERT_EQ(request.size(), 2u);
  EXPECT_EQ(request[0].name, "request asked \"so\"");
  EXPECT_EQ(request[0].duration, 1e6);
  EXPECT_EQ(request[1].name, "read");
  EXPECT_EQ(spans_of(trace, 1, 1002).at(0).name, "wait");
  EXPECT_EQ(spans_of(trace, 1002, 1).at(0).name, "encode");
  EXPECT_EQ(spans_of(trace, 1, 100).at(0).name, "decode");
  EXPECT_EQ(spans_of(trace, 10, 1).at(0).name, "step 41");
  const auto other = spans_of(trace, 11, 1);
  ASSERT_EQ(other.size(), 1u);
  EXPECT_NEAR(other[0].begin, 0.5e6 + 0.1, 1e-3);
  EXPECT_NEAR(other[0].duration, 0.1, 1e-3);
  EXPECT_TRUE(spans_of(trace, 12, 1).empty()) << "nobody knows its clock";
  std::set<std::string> names;
  for (const json::value& event : trace.at("traceEvents").as_array()) {
    if (event.at("name") == "process_name") names.emplace(event.at("args").at("name").as_string());
  }
  EXPECT_EQ(names, (std::set<std::string>{"leader", "LLM rank 0 (leader)", "LLM rank 1", "encoder 2"}));
}

TEST(ChromeTrace, SpansOfAThreadLieWithinEachOtherOrApart) {
  TraceRecord made = record();
  made.spans = {{.stage = Stage::encode, .begin = 0.3, .end = 0.5, .image = 0, .slice = 1, .encoder = 1},
                {.stage = Stage::encode, .begin = 0.1, .end = 0.301, .image = 0, .slice = 0, .encoder = 1},
                {.stage = Stage::encode, .begin = 0.1, .end = 0.301, .image = 1, .slice = 0, .encoder = 1}};
  const auto spans = spans_of(json::parse(chrome_trace(made, {})), 1001, 1);
  ASSERT_EQ(spans.size(), 3u);
  EXPECT_EQ(spans[0].begin, spans[1].begin) << "one pass";
  EXPECT_EQ(spans[2].begin, 301000) << "the clocks were wrong by a millisecond";
  EXPECT_EQ(spans[2].duration, 199000);
}

std::function<std::string()> text_of(size_t bytes) {
  return [bytes] { return std::string(bytes, 'x'); };
}

TEST(TraceFiles, TheOldestMakeRoom) {
  Folder folder;
  std::ofstream(folder.path() / "notes.txt") << "mine";
  std::ofstream(folder.path() / "uhd-0000.json") << "of an earlier process";
  {
    TraceFiles files(folder.path(), 3, 1000);
    for (const char* name : {"0001", "0002", "0003"}) files.write(name, text_of(100));
  }
  EXPECT_THAT(folder.files(), ElementsAre("notes.txt", "uhd-0001.json", "uhd-0002.json", "uhd-0003.json"));
  {
    TraceFiles files(folder.path(), 3, 250);
    files.write("0004", text_of(100));
    files.write("0005", text_of(251));  // more than all may have
  }
  EXPECT_THAT(folder.files(), ElementsAre("notes.txt", "uhd-0003.json", "uhd-0004.json"));
}

TEST(TraceFiles, TheThreadThatWritesMakesTheText) {
  Folder folder;
  std::thread::id maker;
  {
    TraceFiles files(folder.path(), 1, 1000);
    files.write("1", [&maker] {
      maker = std::this_thread::get_id();
      return std::string("x");
    });
  }
  EXPECT_NE(maker, std::thread::id()) << "nobody did";
  EXPECT_NE(maker, std::this_thread::get_id());
}

TEST(TraceFiles, ADirectoryThatCannotBeIsAnError) {
  Folder folder;
  std::ofstream(folder.path() / "file") << "x";
  EXPECT_THROW(TraceFiles(folder.path() / "file" / "below", 1, 1000), Error);
}

Request request_sampled(bool yes) {
  Request request;
  request.trace.sampled = yes;
  return request;
}

TEST(Tracer, TracesWhatClientsSampleAndAShareOfTheRest) {
  Folder folder;
  Tracer none({.dir = folder.path()}, 0);
  EXPECT_EQ(none.begin(1, request_sampled(false)), nullptr);
  EXPECT_NE(none.begin(2, request_sampled(true)), nullptr);
  Tracer all({.dir = folder.path(), .share = 1}, 0);
  EXPECT_NE(all.begin(3, request_sampled(false)), nullptr);
  std::vector<std::shared_ptr<TraceRecord>> open;
  for (RequestId id = 10; id < 26; ++id) open.push_back(all.begin(id, request_sampled(true)));
  EXPECT_NE(open.back(), nullptr);
  EXPECT_EQ(all.begin(26, request_sampled(true)), nullptr) << "sixteen at once";
  open.pop_back();
  EXPECT_NE(all.begin(27, request_sampled(true)), nullptr);
}

TEST(Tracer, WritesOnceEveryRankHasToldOfTheLastStep) {
  Folder folder;
  const auto written = [&] { return folder.files().size(); };
  auto tracer = std::make_unique<Tracer>(TraceOptions{.dir = folder.path()}, 2);
  const auto run = [&](RequestId id) {
    auto traced = tracer->begin(id, request_sampled(true));
    tracer->arrived(traced);
    EXPECT_TRUE(tracer->times_steps());
    tracer->launched(5, after(0));
    traced->steps.push_back({5, after(0), after(0.5), 1});
    tracer->ended(traced, "stop", after(1));
    EXPECT_FALSE(tracer->times_steps());
    EXPECT_TRUE(tracer->awaits_reports());
  };
  run(1);
  tracer->poll(after(1));
  tracer->reported({.number = 5, .rank = 1, .reached = 100, .begun = 200, .ended = 300}, after(0.5));
  tracer->reported({.number = 4, .rank = 2, .reached = 100, .begun = 200, .ended = 300},
                   after(0.5));  // nobody's
  tracer->reported({.number = 5, .rank = 7, .reached = 100, .begun = 200, .ended = 300},
                   after(0.5));  // of no rank
  tracer->poll(after(1));
  EXPECT_TRUE(tracer->awaits_reports());
  tracer->reported({.number = 5, .rank = 2, .reached = 100, .begun = 200, .ended = 300}, after(0.5));
  tracer->poll(after(1));
  EXPECT_FALSE(tracer->awaits_reports());
  run(2);
  tracer->poll(after(1.9));
  EXPECT_TRUE(tracer->awaits_reports());
  tracer->poll(after(2.1));
  EXPECT_FALSE(tracer->awaits_reports()) << "a rank that says nothing holds nobody up";
  run(3);
  tracer.reset();
  EXPECT_EQ(written(), 3u) << "what has ended is not lost at the end";
}

}  // namespace
}  // namespace uhd
