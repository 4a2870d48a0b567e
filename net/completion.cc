#include "net/completion.h"

#include <algorithm>

namespace uhd {
namespace {

// A choice has at most one event a token, and its last one; the slack is for flushes of held-back text. The
// spans of a timeline are events of their own, and a prompt that is scored has at most one event a token.
size_t count_events(const Call& call, int context_length) {
  constexpr size_t kSlack = 8;
  size_t sum = 0;
  for (const Request& request : call.requests) {
    const int asked = request.stop.max_tokens;
    sum += static_cast<size_t>(asked > 0 ? std::min(asked, context_length) : context_length) + kSlack;
  }
  sum *= static_cast<size_t>(call.n);
  for (const Request& request : call.requests) {
    if (request.timeline) sum += kMostTimelineSpans;
    if (request.prompt_logprobs >= 0) sum += static_cast<size_t>(context_length);
  }
  return sum;
}

int64_t bytes_of(const Request& request) {
  size_t bytes = sizeof(Request) + request.template_variables.size() + request.tools.size();
  for (const Message& m : request.messages) {
    for (const MessagePart& part : m.parts) bytes += sizeof(part) + part.text.size();
  }
  if (request.prompt) bytes += request.prompt->size();
  bytes += (request.prompt_ids.size() + request.sampling.allowed_ids.size()) * sizeof(int32_t);
  constexpr size_t kNode = 64;  // of a map, about
  bytes += request.sampling.logit_bias.size() * kNode;
  for (const std::string& word : request.sampling.bad_words) bytes += sizeof(std::string) + word.size();
  for (const std::string& stop : request.stop.stop) bytes += sizeof(std::string) + stop.size();
  if (request.sampling.grammar) bytes += request.sampling.grammar->text.size();
  return static_cast<int64_t>(bytes);
}

}  // namespace

Completion::Completion(Engine& engine, Call call, std::string id, int64_t created,
                       std::shared_ptr<void> ticket)
    : engine_(engine),
      streams_(call.stream),
      most_events_(count_events(call, engine.model().context_length)),
      writer_(call, std::move(id), created),
      requests_(std::move(call.requests)),
      places_(std::move(call.places)),
      echo_(call.echo),
      prompt_only_(call.prompt_only),
      warning_(std::move(call.warning)),
      ticket_(std::move(ticket)) {
  for (size_t i = 0; call.echo && i < requests_.size(); ++i) writer_.echo(i, text_of_prompt(requests_[i]));
}

Completion::~Completion() {
  if (finished() && !failure()) return;
  for (const RequestId id : running_) engine_.cancel(id);
}

std::optional<ApiError> Completion::start(const std::function<void(ChoiceEvent&&)>& sink) {
  for (; submitted_ < requests_.size(); ++submitted_) {
    const size_t i = submitted_;
    const size_t first = i * static_cast<size_t>(requests_[i].n);
    if (prompt_only_ && requests_[i].prompt_logprobs < 0) {
      if (auto failed = end_at_once(requests_[i], first, sink)) return failed;
      continue;
    }
    auto answer = engine_.submit(std::move(requests_[i]), [sink, first](TokenEvent&& event) {
      const size_t choice = first + static_cast<size_t>(event.answer);
      sink(ChoiceEvent{choice, std::move(event)});
    });
    if (const auto* failure = std::get_if<Failure>(&answer)) {
      if (failure->again_s == 0) {
        for (const RequestId id : running_) engine_.cancel(id);
        running_.clear();
      }
      return api_error(*failure, places_);
    }
    const auto& accepted = std::get<Accepted>(answer);
    running_.push_back(accepted.id);
    writer_.accepted(i, accepted.prompt_tokens, accepted.image_tokens);
    if (accepted.thinking) writer_.begin_in_thoughts(i);
  }
  requests_.clear();
  return std::nullopt;
}

int64_t Completion::waiting_bytes() const {
  int64_t bytes = 0;
  for (size_t i = submitted_; i < requests_.size(); ++i) bytes += bytes_of(requests_[i]);
  return bytes;
}

// Nothing is computed, so that no place is needed; the prompt's tokens are counted.
std::optional<ApiError> Completion::end_at_once(const Request& request, size_t first,
                                                const std::function<void(ChoiceEvent&&)>& sink) const {
  const auto laid_out = engine_.lay_out(request);
  if (const auto* failure = std::get_if<Failure>(&laid_out)) return api_error(*failure, places_);
  const auto tokens = static_cast<int>(std::get<std::vector<int32_t>>(laid_out).size());
  for (int answer = 0; answer < request.n; ++answer) {
    TokenEvent end{.answer = answer, .finish = FinishReason::length};
    end.usage = Usage{.prompt_tokens = tokens};
    sink(ChoiceEvent{first + static_cast<size_t>(answer), std::move(end)});
  }
  return std::nullopt;
}

std::string Completion::text_of_prompt(const Request& request) const {
  return request.prompt ? *request.prompt : engine_.detokenize(request.prompt_ids);
}

HttpResponse Completion::response() const {
  HttpResponse response = failure() ? error_response(*failure()) : HttpResponse{.body = writer_.body()};
  if (!warning_.empty()) response.headers.emplace_back(kWarningHeader, warning_);
  return response;
}

}  // namespace uhd
