#include "net/completion_answer.h"

#include <atomic>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/experimental/concurrent_channel.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/buffers_to_string.hpp>
#include <boost/beast/http/chunk_encode.hpp>
#include <limits>

#include "base/log.h"

namespace uhd {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
// clang-tidy 14 does not see uses within a co_await.
using asio::experimental::awaitable_operators::operator||;  // NOLINT(misc-unused-using-decls)
using Channel = asio::experimental::concurrent_channel<void(boost::system::error_code, ChoiceEvent)>;
using Signal = asio::experimental::concurrent_channel<void(boost::system::error_code)>;

namespace {

constexpr auto kTuple = asio::as_tuple(asio::use_awaitable);
constexpr size_t kMostAtOnce = 64 << 10;
constexpr size_t kTick = std::numeric_limits<size_t>::max();  // a choice that no event is of
constexpr std::string_view kComment = ": waiting\n\n";

int64_t weight(const TokenEvent& event) {
  int64_t bytes = static_cast<int64_t>(sizeof(ChoiceEvent) + event.text.size());
  for (const TokenLogprob& t : event.logprobs) {
    bytes += static_cast<int64_t>(sizeof(t) + t.top.size() * sizeof(t.top[0]));
  }
  for (const PromptToken& t : event.prompt) {
    bytes += static_cast<int64_t>(sizeof(t) + t.top.size() * sizeof(t.top[0]));
  }
  return bytes;
}

}  // namespace

// The one way from the engine's thread to a session: wide enough for every event of the call, so that trying
// to send never fails while the session lives, and bounded in bytes, for clients that do not read. Holds the
// io_context: the sink may be the last to let it go.
struct EventChannel {
  EventChannel(std::shared_ptr<asio::io_context> context, Channel made)
      : io(std::move(context)), channel(std::move(made)), closed(channel.get_executor()) {}

  // Runs on the engine's thread.
  void send(ChoiceEvent&& event, int64_t most_bytes) {
    if (!channel.is_open()) return;
    backlog += weight(event.event);
    const bool slow = backlog > most_bytes;
    if (!slow && channel.try_send(boost::system::error_code(), std::move(event))) return;
    log_info("an answer is given up: its client does not read it", "bytes", backlog.load());
    close();
  }

  void close() {
    channel.close();
    closed.close();
  }

  std::shared_ptr<asio::io_context> io;
  Channel channel;
  Signal closed;  // the channel wakes only who receives: not one who writes what came before
  std::atomic<int64_t> backlog{0};
};

CompletionAnswer::CompletionAnswer(std::shared_ptr<asio::io_context> io, Wire& wire, Completion& completion,
                                   const NetOptions& options, bool chunked,
                                   std::function<std::string()> stream_head)
    : io_(std::move(io)),
      wire_(wire),
      completion_(completion),
      options_(options),
      chunked_(chunked),
      stream_head_(std::move(stream_head)),
      events_(std::make_shared<EventChannel>(io_, Channel(wire.executor(), completion.most_events() + 1))),
      watch_(wire, [this] { probe(); }),
      last_words_(Clock::now()) {}

void CompletionAnswer::stop() { events_->close(); }

Task<CompletionAnswer::End> CompletionAnswer::run(asio::thread_pool& intake,
                                                  std::unique_ptr<BodyBudget::Hold> hold) {
  const Sink sink = [weak = std::weak_ptr<EventChannel>(events_),
                     most = options_.max_backlog_bytes](ChoiceEvent&& event) {
    if (const auto to = weak.lock()) to->send(std::move(event), most);
  };
  co_await submit(intake, sink);
  if (waits() && hold != nullptr && !hold->grow_to(completion_.waiting_bytes())) refusal_->again_s = 0;
  if (waits()) co_await (submit_again(intake, sink) || watch_.run() || wait_for_close());
  hold.reset();
  if (refusal_) co_return waits() ? End::left : End::refused;
  co_await (pump() || watch_.run() || tick() || wait_for_close());
  if (!completion_.finished()) co_return End::left;
  if (!completion_.streams() || !begun_) co_return End::complete;
  co_return written_ ? End::streamed : End::left;
}

// The work on the other thread is not cancelled with this coroutine, but waited for in any case.
Task<void> CompletionAnswer::submit(asio::thread_pool& intake, const Sink& sink) {
  refusal_ =
      co_await asio::co_spawn(intake, start_there(sink),
                              asio::bind_cancellation_slot(asio::cancellation_slot(), asio::use_awaitable));
}

// A call that waits for its turn holds no thread. It is over when its client has left.
Task<void> CompletionAnswer::submit_again(asio::thread_pool& intake, const Sink& sink) {
  while (waits()) {
    co_await rest(refusal_->again_s);
    co_await submit(intake, sink);
  }
}

Task<std::optional<ApiError>> CompletionAnswer::start_there(const Sink& sink) {
  try {
    co_return completion_.start(sink);
  } catch (const std::exception& e) {
    log_error("a call could not be submitted", "reason", e.what());
  }
  co_return ApiError{500, "The server failed on this request.", "", "internal_error"};
}

// Runs until the last event is taken and the stream's text is written, or until the connection ends.
Task<void> CompletionAnswer::pump() {
  if (completion_.streams()) {
    // The client, and what stands between, learns at once that the request is taken.
    const bool taken = co_await wire_.write(head(), options_.write_timeout_s);
    if (!taken) co_return;
    completion_.begin();
  }
  while (!completion_.finished()) {
    auto received = co_await events_->channel.async_receive(kTuple);
    if (std::get<0>(received)) co_return;
    const std::string frames = next_frames(std::move(std::get<1>(received)));
    if (frames.empty()) continue;
    const std::string bytes = framed(frames);
    const bool taken = co_await wire_.write(bytes, options_.write_timeout_s);
    if (!taken) co_return;
    last_words_ = Clock::now();
    written_ = completion_.finished();
  }
}

// Frames of this event and of those that came with it, but no more than one write should hold.
std::string CompletionAnswer::next_frames(ChoiceEvent&& first) {
  std::string frames = take(std::move(first));
  const auto take_more = [&](boost::system::error_code failed, ChoiceEvent more) {
    if (!failed) frames += take(std::move(more));
  };
  while (!completion_.finished() && frames.size() < kMostAtOnce && events_->channel.try_receive(take_more)) {
  }
  return frames;
}

std::string CompletionAnswer::take(ChoiceEvent&& event) {
  if (event.choice != kTick) {
    events_->backlog -= weight(event.event);
    return completion_.take(std::move(event));
  }
  ticked_ = false;
  return std::string(kComment);
}

std::string CompletionAnswer::head() {
  begun_ = true;
  return stream_head_();
}

std::string CompletionAnswer::framed(const std::string& frames) const {
  if (!chunked_) return frames;
  std::string out = beast::buffers_to_string(http::make_chunk(asio::buffer(frames)));
  if (completion_.finished()) out += beast::buffers_to_string(http::make_chunk_last());
  return out;
}

void CompletionAnswer::probe() {
  if (begun_) {
    send_tick();
  } else if (chunked_) {  // HTTP/1.0 knows no interim answers
    send_interim(wire_);
  }
}

Task<void> CompletionAnswer::tick() {
  const bool ticks = completion_.streams() && options_.stream_ping_s > 0;
  for (;;) {
    co_await rest(ticks ? options_.stream_ping_s : 3600);
    const double silent = seconds(Clock::now() - last_words_);
    if (ticks && silent >= options_.stream_ping_s / 2) send_tick();
  }
}

void CompletionAnswer::send_tick() {
  if (ticked_) return;
  ticked_ = events_->channel.try_send(boost::system::error_code(), ChoiceEvent{kTick, {}});
}

Task<void> CompletionAnswer::wait_for_close() const {
  const auto events = events_;
  co_await events->closed.async_receive(kTuple);
}

Task<void> CompletionAnswer::rest(double seconds) const {
  asio::steady_timer timer(wire_.executor(), from_seconds(seconds));
  co_await timer.async_wait(asio::use_awaitable);
}

}  // namespace uhd
