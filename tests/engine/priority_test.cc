// The priority of a request orders its pictures, from the door to the rows.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>

#include "tests/engine/engine_fixture.h"

namespace uhd {
namespace {

// Notes whose slices were encoded, in the order in which their rows are placed; the engine's thread tells it.
class PlacedSlices {
 public:
  TokenSink sink(std::string name) {
    return [this, name = std::move(name)](TokenEvent&& event) {
      if (event.span && event.span->stage == Stage::encode) order.push_back(name);
      if (event.finish != FinishReason::none && --open_ == 0) all_.set_value();
    };
  }
  bool wait() { return all_.get_future().wait_for(std::chrono::minutes(2)) == std::future_status::ready; }

  std::vector<std::string> order;

 private:
  int open_ = 2;  // requests
  std::promise<void> all_;
};

// While the engine's thread is held up, one request comes after the other, the less urgent first.
TEST(Priority, ThePictureOfTheMoreUrgentRequestIsEncodedFirst) {
  const GoldenCase c = golden_case("uhd-v1-tiny/golden_image_2slices");
  EngineOptions options = tiny_options(c.model);
  options.image.threads = 1;
  const auto engine = make_engine(options, ranks(1, 0));
  std::promise<void> held, go_on;
  Request text = golden_case("uhd-v1-tiny/golden_text").request;
  text.stop.max_tokens = 1;
  engine->submit(Request(text), [&, until = go_on.get_future().share()](TokenEvent&& event) {
    if (event.finish == FinishReason::none) return;
    held.set_value();
    until.wait();
  });
  held.get_future().wait();
  PlacedSlices placed;
  Request patient = c.request, urgent = c.request;
  patient.timeline = urgent.timeline = true;
  patient.priority = 100;  // so many seconds pass before it has aged
  urgent.messages[0].parts[0].image = std::make_shared<const std::string>(flipped_png(c));
  ASSERT_TRUE(std::holds_alternative<Accepted>(engine->submit(Request(patient), placed.sink("patient"))));
  ASSERT_TRUE(std::holds_alternative<Accepted>(engine->submit(Request(urgent), placed.sink("urgent"))));
  go_on.set_value();
  ASSERT_TRUE(placed.wait());
  ASSERT_EQ(placed.order.size(), 6u);
  EXPECT_EQ(placed.order.front(), "urgent");
}

}  // namespace
}  // namespace uhd
