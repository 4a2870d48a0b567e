#include "net/completion.h"

#include <algorithm>

namespace uhd {
namespace {

// A choice has at most one event a token, and its last one; the slack is for flushes of held-back text.
size_t count_events(const Call& call, int context_length) {
  constexpr size_t kSlack = 8;
  size_t sum = 0;
  for (const Request& request : call.requests) {
    const int asked = request.stop.max_tokens;
    sum += static_cast<size_t>(asked > 0 ? std::min(asked, context_length) : context_length) + kSlack;
  }
  return sum * static_cast<size_t>(call.n);
}

}  // namespace

Completion::Completion(Engine& engine, Call call, std::string id, int64_t created,
                       std::shared_ptr<void> ticket)
    : engine_(engine),
      streams_(call.stream),
      most_events_(count_events(call, engine.model().context_length)),
      writer_(call, std::move(id), created),
      requests_(std::move(call.requests)),
      ticket_(std::move(ticket)) {}

Completion::~Completion() {
  if (finished() && !failure()) return;
  for (const RequestId id : running_) engine_.cancel(id);
}

std::optional<ApiError> Completion::start(const std::function<void(ChoiceEvent&&)>& sink) {
  for (size_t i = 0; i < requests_.size(); ++i) {
    const size_t first = i * static_cast<size_t>(requests_[i].n);
    auto answer = engine_.submit(std::move(requests_[i]), [sink, first](TokenEvent&& event) {
      const size_t choice = first + static_cast<size_t>(event.answer);
      sink(ChoiceEvent{choice, std::move(event)});
    });
    if (const auto* failure = std::get_if<Failure>(&answer)) {
      for (const RequestId id : running_) engine_.cancel(id);
      running_.clear();
      return api_error(*failure);
    }
    running_.push_back(std::get<Accepted>(answer).id);
  }
  requests_.clear();
  return std::nullopt;
}

HttpResponse Completion::response() const {
  return failure() ? error_response(*failure()) : HttpResponse{.body = writer_.body()};
}

}  // namespace uhd
