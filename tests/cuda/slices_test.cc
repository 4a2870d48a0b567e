// Tests pictures on emulated devices: the cost of their slices for the ranks that serve them, beside the work
// itself.
#include <gtest/gtest.h>

#include "emulation/cuda.h"
#include "emulation/streams.h"
#include "model/vision/png_writer.h"
#include "tests/engine/engine_fixture.h"

namespace uhd {
namespace {

struct Form {
  std::string name;
  int encoders = 0;  // none: the leader encodes
  int devices = 4;   // one for all: rows go by way of the host
  const char* quantize = "none";
  bool codes = false;  // of activations, too
};
void PrintTo(const Form& form, std::ostream* out) { *out << form.name; }  // NOLINT

EngineOptions options_of(const Form& form, const char* kind) {
  EngineOptions options = tiny_options(golden_case("uhd-v1-tiny/golden_text").model);
  options.backend.kind = kind;
  options.backend.quantize_activations = form.codes;
  options.quantize = form.quantize;
  options.page_size = 8;
  options.context_length = 512;
  options.max_running = 2;
  options.token_budget = 64;  // more rows than are multiplied with codes as they are
  options.kv_memory_bytes = int64_t{128} * 8 * 4 * 2 * 256 * 4;  // 128 pages
  options.visual_cache_bytes = 1 << 20;
  return options;
}

Request asks_about(int width, int height, size_t shade) {
  Image picture{width, height, std::vector<uint8_t>(size_t{3} * static_cast<size_t>(width * height))};
  for (size_t i = 0; i < picture.pixels.size(); ++i) {
    picture.pixels[i] = static_cast<uint8_t>(shade + i * 7 % 60);
  }
  const auto file = std::make_shared<const std::string>(encode_png(picture));
  Request request;
  request.messages = {{"user", {{"", file}, {"What?", nullptr}}}};
  request.sampling.temperature = 0;
  request.stop.max_tokens = 3;
  request.stop.ignore_eos = true;
  return request;
}

using Ids = std::vector<std::vector<int32_t>>;

// One after another: a picture takes the emulation its time.
Ids answers(Engine& engine, const std::vector<Request>& requests) {
  Ids ids;
  for (const Request& request : requests) {
    const Submitted one = submit(engine, request);
    EXPECT_EQ(one.answer->wait().finish, FinishReason::length) << one.answer->failure.message;
    ids.push_back(one.answer->ids);
  }
  EXPECT_TRUE(becomes_idle(engine));
  return ids;
}

// The pictures have different sizes.
std::vector<Request> requests() { return {asks_about(64, 96, 10), asks_about(180, 60, 40)}; }

const Ids& wanted() {
  static const Ids ids = answers(*make_engine(options_of({}, "cpu"), ranks(1, 0)), requests());
  return ids;
}

class CudaSlices : public testing::TestWithParam<Form> {
 protected:
  CudaSlices() { emulation::set_devices(GetParam().devices); }
  ~CudaSlices() override { EXPECT_EQ(emulation::failure(), ""); }
};

TEST_P(CudaSlices, CostNoWaitForAStreamAndNoMemory) {
  const Form& form = GetParam();
  const auto engine = make_engine(options_of(form, "cuda"), ranks(1, form.encoders));
  answers(*engine, {asks_about(80, 80, 90)});  // so that the encoder, which joins early, has its weights
  const emulation::Counts before = emulation::counts();
  const Ids ids = answers(*engine, requests());
  const emulation::Counts after = emulation::counts();
  EXPECT_EQ(after.stream_waits - before.stream_waits, 0u);
  EXPECT_EQ(after.unpinned_reads - before.unpinned_reads, 0u);
  EXPECT_EQ(after.taken - before.taken, 0u);
  EXPECT_EQ(after.freed - before.freed, 0u);
  if (form.quantize == std::string("none")) {
    EXPECT_EQ(ids, wanted());
  }
}

INSTANTIATE_TEST_SUITE_P(Forms, CudaSlices,
                         testing::Values(Form{"Alone"}, Form{"Encoder", 1},
                                         Form{"EncoderByWayOfTheHost", 1, 1}, Form{"Int4", 0, 4, "int4"},
                                         Form{"Codes", 1, 4, "int8", true}),
                         [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace uhd
