// Brings a completion's answer to the client. It moves events from the engine's thread to the wire, sends
// signs of life while there are none, and watches whether the client is still there.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "net/body_budget.h"
#include "net/client_watch.h"
#include "net/completion.h"
#include "net/options.h"
#include "net/wire.h"

namespace boost::asio {
class thread_pool;
}

namespace uhd {

struct EventChannel;

class CompletionAnswer {
 public:
  enum class End : uint8_t {
    refused,   // the engine did not take it: refusal() says why
    complete,  // not streamed: completion.response() is to be sent
    streamed,  // everything is written
    left,      // the client has gone, or reads too slowly
  };

  // `stream_head` is called once and returns the header of a stream; `chunked` frames the events that follow.
  // All arguments must outlive run().
  CompletionAnswer(std::shared_ptr<boost::asio::io_context> io, Wire& wire, Completion& completion,
                   const NetOptions& options, bool chunked, std::function<std::string()> stream_head);
  CompletionAnswer(const CompletionAnswer&) = delete;
  CompletionAnswer& operator=(const CompletionAnswer&) = delete;

  // Submits the completion on a thread of `intake`, and serves it to its end. It runs on the wire's strand.
  // `hold` counts the bytes of the call until the engine counts them, and what the call holds while it waits
  // for its turn.
  Task<End> run(boost::asio::thread_pool& intake, std::unique_ptr<BodyBudget::Hold> hold);
  const ApiError& refusal() const { return *refusal_; }
  // Ends the answer, and cancels running requests. Another coroutine of the strand calls it.
  void stop();
  bool half_closed() const { return watch_.half_closed(); }

 private:
  using Sink = std::function<void(ChoiceEvent&&)>;
  bool waits() const { return refusal_ && refusal_->again_s > 0; }
  Task<void> submit(boost::asio::thread_pool& intake, const Sink& sink);
  Task<void> submit_again(boost::asio::thread_pool& intake, const Sink& sink);
  Task<std::optional<ApiError>> start_there(const Sink& sink);
  Task<void> pump();
  Task<void> tick();
  Task<void> wait_for_close() const;
  Task<void> rest(double seconds) const;

  std::string next_frames(ChoiceEvent&& first);
  std::string take(ChoiceEvent&& event);
  std::string head();
  std::string framed(const std::string& frames) const;
  void send_tick();
  void probe();

  const std::shared_ptr<boost::asio::io_context> io_;
  Wire& wire_;
  Completion& completion_;
  const NetOptions& options_;
  const bool chunked_;
  const std::function<std::string()> stream_head_;
  std::shared_ptr<EventChannel> events_;
  ClientWatch watch_;
  std::optional<ApiError> refusal_;
  TimePoint last_words_;
  bool begun_ = false;    // the header of a stream is written
  bool ticked_ = false;   // a tick is on its way
  bool written_ = false;  // everything is written
};

}  // namespace uhd
