#include "engine/leader/frontend.h"

#include <algorithm>
#include <cmath>
#include <random>

#include "base/log.h"
#include "engine/leader/cache_salt.h"
#include "engine/leader/seed.h"
#include "scheduler/prefix.h"

namespace uhd {

namespace {

constexpr Duration kLookAtCaches = std::chrono::milliseconds(500);

uint64_t drawn_seed() {
  std::random_device device;
  return (uint64_t{device()} << 32) | device();
}

// Returns the memory for the tokens of prompt and answer of each sequence, and for what is told of the
// prompt.
int64_t token_bytes(const PlannedRequest& planned, int answers) {
  const int64_t tokens = static_cast<int64_t>(planned.prompt.ids.size()) + planned.max_tokens;
  return answers * tokens * static_cast<int64_t>(sizeof(int32_t)) + planned.score_bytes;
}

Failure unreadable(const std::exception& e) {
  log_error("a request could not be read", "reason", e.what());
  return {FailureKind::internal, "internal_error", "the request could not be read"};
}

// Writes two digits behind the point, or three that are not zero.
std::string to_text(double value) {
  const double digits = value > 0 ? std::max(2.0, 2 - std::floor(std::log10(value))) : 2;
  const double scale = std::pow(10, digits);
  return message(std::round(value * scale) / scale);
}

Failure over_quota(double wait, double cost, double quota) {
  const std::string price = cost > 0 ? message("is predicted to cost ", to_text(cost), " s of work")
                                     : "is one whose cost is not known yet";
  return {FailureKind::busy, "quota_exceeded",
          message("the request ", price, ", and the quota of its key is ", to_text(quota),
                  " s a minute: it would be taken in ", to_text(std::ceil(wait)), " s"),
          std::ceil(wait)};
}

// A part that was taken of a quota goes back, unless a request of the leader's loop keeps it.
class QuotaPart {
 public:
  QuotaPart(Quotas& quotas, std::string tenant, double cost)
      : quotas_(quotas), tenant_(std::move(tenant)), cost_(cost) {}
  QuotaPart(const QuotaPart&) = delete;
  QuotaPart& operator=(const QuotaPart&) = delete;
  ~QuotaPart() {
    if (!kept_) quotas_.correct(tenant_, cost_, 0);
  }
  void keep() { kept_ = true; }

 private:
  Quotas& quotas_;
  const std::string tenant_;
  const double cost_;
  bool kept_ = false;
};

// A request that came over a socket may wait for its grammar's turn: its client sees no refusal meanwhile.
bool can_wait(const Request& request) {
  constexpr auto kLongest = std::chrono::seconds(30);
  const TimePoint now = Clock::now();
  return request.last_byte && now - *request.last_byte < kLongest &&
         (!request.deadline || now < *request.deadline);
}

Failure no_answer() {
  return {FailureKind::unavailable, "engine_stalled", "the server's ranks do not answer", 5};
}

}  // namespace

Frontend::Frontend(LeaderParts parts)
    : parts_(std::move(parts)), memory_(parts_.options.request_memory_bytes) {
  if (parts_.options.seed == 0) parts_.options.seed = drawn_seed();
  loop_ = std::make_unique<LeaderLoop>(parts_, state_);
}

Frontend::~Frontend() = default;

std::variant<Accepted, Failure> Frontend::submit(Request&& request, TokenSink sink) {
  const int answers = std::max(1, request.n);
  const bool may_wait = can_wait(request);
  std::optional<Failure> refused = take_places(answers);
  if (!refused) {
    auto answer = accept(std::move(request), std::move(sink));
    if (auto* accepted = std::get_if<Accepted>(&answer)) {
      parts_.metrics->accepted();
      return *accepted;
    }
    state_.places -= answers;
    refused = std::get<Failure>(std::move(answer));
  }
  if (!may_wait) refused->again_s = 0;
  if (refused->again_s == 0) parts_.metrics->refused(refused->code);
  return *refused;
}

std::variant<RequestPlan, Failure> Frontend::plan(const Request& request) const {
  try {
    const auto laid_out = parts_.intake->lay_out(request);
    if (const auto* failure = std::get_if<Failure>(&laid_out)) return *failure;
    const auto& planned = std::get<PlannedRequest>(laid_out);
    RequestPlan plan = parts_.intake->describe(planned, parts_.options.page_size);
    plan.answers = request.n;
    plan.cached = cached_of(request, planned);
    predict(planned, plan);
    plan.refusal = refusal_of(request, planned);
    return plan;
  } catch (const std::exception& e) {
    return unreadable(e);
  }
}

std::variant<std::vector<int32_t>, Failure> Frontend::lay_out(const Request& request) const {
  try {
    auto laid_out = parts_.intake->lay_out(request);
    if (auto* failure = std::get_if<Failure>(&laid_out)) return std::move(*failure);
    return std::move(std::get<PlannedRequest>(laid_out).prompt.ids);
  } catch (const std::exception& e) {
    return unreadable(e);
  }
}

// Pictures that are known get the names of their slices. Where rows of the prompt are scored, all of it is
// computed.
CacheQuestion Frontend::question_of(const Request& request, const PlannedRequest& planned) const {
  CacheQuestion question;
  question.spans = planned.prompt.spans;
  const std::string salt = cache_salt(parts_, request.tenant);
  for (size_t i = 0; i < planned.images.size(); ++i) {
    const PlannedImage& image = planned.images[i];
    if (image.bytes == nullptr) continue;
    const std::vector<Fingerprint> pieces = state_.cuts.find(cut_name(*image.bytes, image.plan, salt));
    for (VisualSpan& span : question.spans) {
      if (span.image != static_cast<int>(i) || pieces.empty()) continue;
      span.slice = pieces.at(static_cast<size_t>(span.piece));
    }
  }
  const std::optional<Fingerprint> root = cache_root(parts_, request.tenant);
  if (root && request.prompt_logprobs < 0) {
    question.pages = prompt_pages(*root, planned.prompt.ids, question.spans, parts_.options.page_size);
  }
  return question;
}

// The engine's thread looks between two steps. One thread at a time waits for it, so that those that read
// requests do not all wait.
std::optional<CachedParts> Frontend::cached_of(const Request& request, const PlannedRequest& planned) const {
  if (asked_->exchange(true)) return std::nullopt;
  std::shared_ptr<void> place(nullptr, [asked = asked_](void*) { *asked = false; });
  CacheQuestion question = question_of(request, planned);
  question.place = std::move(place);
  std::future<CachedParts> answer = question.answer.get_future();
  if (!parts_.mailbox->post(std::move(question))) return std::nullopt;
  if (answer.wait_for(kLookAtCaches) != std::future_status::ready) return std::nullopt;
  try {
    return answer.get();
  } catch (const std::future_error&) {
    return std::nullopt;  // the ranks were lost
  }
}

// Slices count alike here, whatever their sizes.
void Frontend::predict(const PlannedRequest& planned, RequestPlan& plan) const {
  plan.queued_seconds = state_.queued_seconds;
  const StageSeconds units = state_.units();
  if (units.prefill <= 0) return;
  Work work = work_of(planned, plan.answers);
  if (plan.cached) {
    const auto slices = static_cast<int64_t>(std::max<size_t>(1, planned.prompt.spans.size()));
    work.patches -= work.patches * plan.cached->slices / slices;
    work.prefill_rows -= plan.cached->tokens;
  }
  plan.predicted = price(work, units, state_.encoders);
}

// Asks in the order of submit(), so that the reason is the same.
std::optional<Failure> Frontend::refusal_of(const Request& request, const PlannedRequest& planned) const {
  if (auto failure = check_places(request.n)) return failure;
  if (const int taken = state_.places; !has_places(taken, request.n)) return no_place(taken, request.n);
  if (auto failure = parts_.intake->check_lengths(request, planned)) return failure;
  if (auto failure = check_told(planned)) return failure;
  RequestMemory::Images images;
  for (const PlannedImage& image : planned.images) {
    if (image.bytes != nullptr) images.push_back(image.bytes);
  }
  if (!memory_.has_room(request.client, token_bytes(planned, request.n), images))
    return no_memory(request.client);
  if (request.quota > 0) {
    const double cost = cost_of(planned, request.n);
    const auto wait = state_.quotas.wait(request.tenant, request.quota, cost, Clock::now());
    if (wait) return over_quota(*wait, cost, request.quota);
  }
  return std::nullopt;
}

EngineStats Frontend::stats() const {
  EngineStats stats;
  stats.running = state_.running;
  stats.waiting = std::max(0, state_.places - state_.running);
  stats.free_pages = state_.free_pages;
  stats.total_pages = parts_.sizes.pages;
  if (state_.failed || !loop_->answered_within(from_seconds(parts_.options.ready_within_s))) {
    stats.readiness = Readiness::stalled;
  } else if (state_.draining) {
    stats.readiness = Readiness::draining;
  } else if (parts_.config.vision && state_.encoders == 0) {
    stats.readiness = Readiness::text_only;
  } else {
    stats.readiness = Readiness::ready;
  }
  return stats;
}

std::string Frontend::metrics_text() const {
  const EngineStats now = stats();
  const bool ready = now.readiness == Readiness::ready || now.readiness == Readiness::text_only;
  return parts_.metrics->text({now.running, now.waiting, now.free_pages, now.total_pages, state_.cached_pages,
                               state_.encoders, state_.slices_queued, state_.queued_seconds,
                               state_.deepest_debt, ready});
}

std::vector<int32_t> Frontend::tokenize(const std::string& text, bool add_special) const {
  return parts_.tokenizer->encode(text, add_special, true);
}

std::string Frontend::detokenize(const std::vector<int32_t>& ids) const {
  return parts_.tokenizer->decode(ids, false);
}

// Places among the answers that run or wait; each is given back when its request ends.
std::optional<Failure> Frontend::take_places(int answers) {
  if (auto failure = check_places(answers)) return failure;
  const int taken = state_.places.fetch_add(answers);
  if (has_places(taken, answers)) return std::nullopt;
  state_.places -= answers;
  return no_place(taken, answers);
}

std::optional<Failure> Frontend::check_places(int answers) const {
  if (state_.failed) return no_answer();
  if (state_.draining) {
    return Failure{FailureKind::unavailable, "draining", "the server is shutting down", 5};
  }
  if (!has_places(0, answers)) {
    return Failure{FailureKind::invalid, "too_many_answers",
                   message("the request asks for ", answers, " answers, but the engine has ", places(),
                           " places (engine.max_running and engine.max_waiting)")};
  }
  return std::nullopt;
}

Failure Frontend::no_place(int taken, int answers) const {
  return full(message("too many requests are waiting: this one needs ", answers, " places, and ",
                      std::max(0, places() - taken), " of ", places(),
                      " are free (engine.max_running and engine.max_waiting)"));
}

Failure Frontend::no_memory(const std::string& client) const {
  return full(message("the requests that wait hold the memory that is theirs: ", memory_.in_use(), " of ",
                      parts_.options.request_memory_bytes,
                      " bytes (engine.request_memory_bytes), of which this client holds ",
                      memory_.in_use_by(client), ", and this one does not fit beside them"));
}

// A request alone may hold any memory while it waits, but not build an answer larger than all of it.
std::optional<Failure> Frontend::check_told(const PlannedRequest& planned) const {
  if (planned.score_bytes <= parts_.options.request_memory_bytes) return std::nullopt;
  return Failure{
      FailureKind::invalid, "too_many_logprobs",
      message("the log-probabilities of ", planned.prompt.ids.size(), " tokens of the prompt take about ",
              planned.score_bytes, " bytes in the answers asked for, of ",
              parts_.options.request_memory_bytes, " (engine.request_memory_bytes)")};
}

// Room comes back as requests end, one after another, so a part of what is predicted for all is a good time.
Failure Frontend::full(const std::string& reason) const {
  const double wait = std::clamp(std::ceil(state_.queued_seconds / 4), 1.0, 60.0);
  return {FailureKind::busy, "queue_full",
          message(reason, "; there should be room in about ", to_text(wait), " s"), wait};
}

std::optional<Failure> Frontend::check_grammar_turn(const Request& request) {
  if (!request.sampling.grammar) return std::nullopt;
  return parts_.grammars->check_turn(*request.sampling.grammar, salt_of(request), request.client);
}

std::variant<Accepted, Failure> Frontend::accept(Request&& request, TokenSink sink) {
  try {
    // A request that waits is submitted again and again, so no work is done while others come first.
    if (auto failure = check_grammar_turn(request)) return *std::move(failure);
    auto planned = parts_.intake->plan(request);
    if (auto* failure = std::get_if<Failure>(&planned)) return std::move(*failure);
    auto& plan = std::get<PlannedRequest>(planned);
    if (auto failure = check_told(plan)) return *failure;
    std::shared_ptr<void> memory = take_memory(request.client, plan, request.n);
    if (memory == nullptr) return no_memory(request.client);
    const double cost = cost_of(plan, request.n);
    if (auto failure = take_quota(request, cost)) return *failure;
    QuotaPart part(state_.quotas, request.tenant, cost);
    if (auto failure = compile_grammar(request, plan)) return *failure;
    auto answer = queue(std::move(request), std::move(plan), cost, std::move(memory), std::move(sink));
    if (std::holds_alternative<Accepted>(answer)) part.keep();
    return answer;
  } catch (const std::exception& e) {
    return unreadable(e);
  }
}

std::string Frontend::salt_of(const Request& request) const {
  return parts_.options.share_caches ? "" : request.tenant;
}

std::optional<Failure> Frontend::compile_grammar(const Request& request, PlannedRequest& planned) {
  if (!request.sampling.grammar) return std::nullopt;
  auto [result, seconds] =
      parts_.grammars->compile(*request.sampling.grammar, salt_of(request), request.client);
  if (seconds > 0) count_compiling(request, seconds);
  if (auto* failure = std::get_if<Failure>(&result)) return std::move(*failure);
  planned.grammar = std::get<std::shared_ptr<const Grammar>>(std::move(result));
  if (!memory_.share(request.client, planned.grammar)) return no_memory(request.client);
  return std::nullopt;
}

// The key pays for it like for other work, whatever comes of it.
void Frontend::count_compiling(const Request& request, double seconds) {
  if (request.quota > 0) state_.quotas.charge(request.tenant, request.quota, seconds, Clock::now());
  if (!request.tenant.empty()) parts_.metrics->key_cost(request.tenant, seconds);
}

std::optional<Failure> Frontend::take_quota(const Request& request, double cost) {
  if (request.quota == 0) return std::nullopt;
  const auto wait = state_.quotas.take(request.tenant, request.quota, cost, Clock::now());
  if (!wait) return std::nullopt;
  return over_quota(*wait, cost, request.quota);
}

std::variant<Accepted, Failure> Frontend::queue(Request request, PlannedRequest plan, double cost,
                                                std::shared_ptr<void> memory, TokenSink sink) {
  const auto answers = static_cast<uint64_t>(request.n);
  const RequestId id = last_id_.fetch_add(answers) + 1;
  if (!request.sampling.seed) request.sampling.seed = mixed_seed(parts_.options.seed, id);
  const Accepted accepted{id, static_cast<int>(plan.prompt.ids.size()), plan.image_tokens, plan.max_tokens,
                          plan.thinking};
  std::shared_ptr<TraceRecord> record;
  if (parts_.tracer != nullptr) record = parts_.tracer->begin(id, request);
  auto live =
      std::make_unique<LiveRequest>(id, std::move(request), std::move(plan), std::move(memory),
                                    std::move(sink), parts_.tokenizer, parts_.config.language.eos_ids);
  live->charge(cost);
  if (record != nullptr) live->trace(std::move(record));
  if (!parts_.mailbox->post(std::move(live))) return no_answer();
  return accepted;
}

// In seconds of work, wherever it is done; 0 before anything was measured.
double Frontend::cost_of(const PlannedRequest& planned, int answers) const {
  return price(work_of(planned, answers), state_.units(), 1).total();
}

// For the encoded images until they are cut, and for the tokens of prompt and answer of each sequence.
std::shared_ptr<void> Frontend::take_memory(const std::string& client, PlannedRequest& planned, int answers) {
  RequestMemory::Images images;
  for (PlannedImage& image : planned.images) images.push_back(std::move(image.bytes));
  std::shared_ptr<void> memory = memory_.take(client, token_bytes(planned, answers), images);
  for (size_t i = 0; i < images.size(); ++i) planned.images[i].bytes = std::move(images[i]);
  return memory;
}

}  // namespace uhd
