// Tests what a profiler sees of the engine: named ranges around the calls of steps and of the vision tower.
#include <dlfcn.h>
#include <gmock/gmock.h>

#include <algorithm>
#include <cstdlib>
#include <map>

#include "emulation/streams.h"
#include "model/vision/png_writer.h"
#include "tests/cuda/nvtx_listener.h"
#include "tests/engine/engine_fixture.h"

namespace uhd {
namespace {

// This runs before the first range of this process.
const int listening = setenv("NVTX_INJECTION64_PATH", UHD_NVTX_LISTENER, 1);

std::vector<std::string> heard() {
  void* library = dlopen(UHD_NVTX_LISTENER, RTLD_NOW | RTLD_NOLOAD);
  const auto* ranges = library == nullptr ? nullptr : dlsym(library, "uhd_heard_ranges");
  return ranges == nullptr ? std::vector<std::string>{} : (*static_cast<const HeardRanges*>(ranges))();
}

// Returns every range with the one around it: "uhd_step > uhd_step.compute".
std::map<std::string, int> nested(const std::vector<std::string>& ranges) {
  std::map<std::string, int> counts;
  std::vector<std::string> open;
  for (const std::string& range : ranges) {
    if (range == "/") {
      EXPECT_FALSE(open.empty()) << "a range ends that was not begun";
      if (!open.empty()) open.pop_back();
      continue;
    }
    ++counts[open.empty() ? range : open.back() + " > " + range];
    open.push_back(range);
  }
  EXPECT_TRUE(open.empty());
  return counts;
}

// The most steps that were launched before their tokens were waited for.
int most_under_way(const std::vector<std::string>& ranges) {
  int under_way = 0, most = 0;
  for (const std::string& range : ranges) {
    if (range == "uhd_step") most = std::max(most, ++under_way);
    if (range == "uhd_step.wait") --under_way;
  }
  return most;
}

Request request_of(int tokens) {
  Request request;
  request.messages = {{"user", {{"What?", nullptr}}}};
  request.sampling.temperature = 0;
  request.stop.max_tokens = tokens;
  request.stop.ignore_eos = true;
  return request;
}

// All ranges of an engine that answers this request alone.
std::vector<std::string> heard_of(const Request& request) {
  emulation::set_devices(1);
  EngineOptions options = tiny_options(golden_case("uhd-v1-tiny/golden_text").model);
  options.backend.kind = "cuda";
  options.token_budget = 48;  // all sizes are run at start
  options.max_running = 2;
  {
    const auto engine = make_engine(options, ranks(1, 0));
    EXPECT_EQ(submit(*engine, request).answer->wait().ids.size(),
              static_cast<size_t>(request.stop.max_tokens));
  }
  return heard();
}

TEST(CudaRanges, AreSeenByAToolThatListens) {
  ASSERT_EQ(listening, 0);
  Request request = request_of(3);
  const Image grey{64, 96, std::vector<uint8_t>(size_t{64} * 96 * 3, 100)};
  const auto picture = std::make_shared<const std::string>(encode_png(grey));
  request.messages[0].parts.push_back({"", picture});
  const std::map<std::string, int> counts = nested(heard_of(request));
  EXPECT_GE(counts.at("uhd_step"), 3);
  EXPECT_GE(counts.at("uhd_step > uhd_step.compute"), 3);
  EXPECT_GE(counts.at("uhd_step > uhd_step.place"), 1);
  EXPECT_GE(counts.at("uhd_step.wait"), 3);
  EXPECT_GE(counts.at("uhd_encode"), 1);
  EXPECT_GE(counts.at("uhd_step.choose"), 1) << "at start";
  EXPECT_EQ(counts.size(), 6u);
  EXPECT_EQ(heard().size(), 0u);
}

TEST(CudaRanges, ShowThatStepsOverlapUnlessTheHostDraws) {
  Request request = request_of(4);
  EXPECT_EQ(most_under_way(heard_of(request)), 2) << "greedy";
  request.sampling.temperature = 0.8f;
  request.sampling.top_k = 50;
  request.sampling.top_p = 0.9f;
  EXPECT_EQ(most_under_way(heard_of(request)), 2) << "drawn on the device";
  request.sampling.grammar = GrammarSpec{GrammarKind::regex, "32 31 33 34"};
  EXPECT_EQ(most_under_way(heard_of(request)), 2) << "by a grammar";
  request.sampling.repetition_penalty = 1.5f;
  EXPECT_EQ(most_under_way(heard_of(request)), 1) << "drawn by the host";
}

}  // namespace
}  // namespace uhd
