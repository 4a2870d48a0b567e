// What callers of the engine reach, on their own threads: requests up to the mailbox, and what is known of
// it.
#include <algorithm>
#include <cmath>

#include "base/log.h"
#include "engine/leader/leader_loop.h"

namespace uhd {

namespace {

uint64_t mixed(uint64_t seed, uint64_t number) {
  uint64_t x = seed + 0x9e3779b97f4a7c15ull * number;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
  return x ^ (x >> 31);
}

}  // namespace

std::variant<Accepted, Failure> LeaderLoop::submit(Request request, TokenSink sink) {
  std::optional<Failure> refused = take_place();
  if (!refused) {
    auto answer = accept(std::move(request), std::move(sink));
    if (auto* accepted = std::get_if<Accepted>(&answer)) {
      parts_.metrics->accepted();
      return *accepted;
    }
    --live_count_;
    refused = std::get<Failure>(std::move(answer));
  }
  parts_.metrics->refused(refused->code);
  return *refused;
}

EngineStats LeaderLoop::stats() const {
  EngineStats stats;
  stats.running = running_;
  stats.waiting = std::max(0, live_count_ - running_);
  stats.free_pages = free_pages_;
  stats.total_pages = parts_.sizes.pages;
  if (failed_ || !watchdog_.answered_within(from_seconds(parts_.options.ready_within_s))) {
    stats.readiness = Readiness::stalled;
  } else if (draining_) {
    stats.readiness = Readiness::draining;
  } else if (parts_.config.vision && encoders_ == 0) {
    stats.readiness = Readiness::text_only;
  } else {
    stats.readiness = Readiness::ready;
  }
  return stats;
}

std::string LeaderLoop::metrics_text() const {
  const EngineStats now = stats();
  const bool ready = now.readiness == Readiness::ready || now.readiness == Readiness::text_only;
  return parts_.metrics->text(
      {now.running, now.waiting, now.free_pages, now.total_pages, encoders_, slices_queued_, ready});
}

std::vector<int32_t> LeaderLoop::tokenize(const std::string& text, bool add_special) const {
  return parts_.tokenizer->encode(text, add_special, true);
}

std::string LeaderLoop::detokenize(const std::vector<int32_t>& ids) const {
  return parts_.tokenizer->decode(ids, false);
}

// A place among the requests that run or wait; given back when the request ends.
std::optional<Failure> LeaderLoop::take_place() {
  if (failed_) return Failure{503, "engine_stalled", "the server's ranks do not answer", 5};
  if (draining_) return Failure{503, "draining", "the server is shutting down", 5};
  const int places = parts_.options.max_running + parts_.options.max_waiting;
  if (live_count_.fetch_add(1) < places) return std::nullopt;
  --live_count_;
  return full("too many requests are waiting");
}

Failure LeaderLoop::full(const char* message) const {
  const double rounds = 1.0 + static_cast<double>(parts_.options.max_waiting) / parts_.options.max_running;
  return {429, "queue_full", message, std::clamp(std::ceil(usual_seconds_ * rounds / 4), 1.0, 60.0)};
}

std::variant<Accepted, Failure> LeaderLoop::accept(Request request, TokenSink sink) {
  try {
    auto planned = parts_.intake->plan(request);
    if (auto* failure = std::get_if<Failure>(&planned)) return std::move(*failure);
    return queue(std::move(request), std::get<PlannedRequest>(std::move(planned)), std::move(sink));
  } catch (const std::exception& e) {
    log_error("a request could not be read", "reason", e.what());
    return Failure{500, "internal_error", "the request could not be read", 0};
  }
}

std::variant<Accepted, Failure> LeaderLoop::queue(Request request, PlannedRequest plan, TokenSink sink) {
  std::shared_ptr<void> memory = take_memory(plan);
  if (memory == nullptr) return full("the requests that wait hold all the memory that is theirs");
  const RequestId id = ++last_id_;
  request.sampling.seed = seed_of(request.sampling, id);
  const Accepted accepted{id, static_cast<int>(plan.prompt.ids.size()), plan.image_tokens, plan.max_tokens};
  auto live =
      std::make_unique<LiveRequest>(id, std::move(request), std::move(plan), std::move(memory),
                                    std::move(sink), parts_.tokenizer, parts_.config.language.eos_ids);
  CutRequest images = images_of(*live);
  if (!parts_.mailbox->post(std::move(live))) {
    return Failure{503, "engine_stalled", "the server's ranks do not answer", 5};
  }
  if (!images.images.empty()) images_.add(std::move(images));
  return accepted;
}

// For the encoded images until they are cut, and the tokens of prompt and answer.
std::shared_ptr<void> LeaderLoop::take_memory(PlannedRequest& planned) {
  RequestMemory::Images images;
  for (PlannedImage& image : planned.images) images.push_back(std::move(image.bytes));
  const int64_t tokens = static_cast<int64_t>(planned.prompt.ids.size()) + planned.max_tokens;
  std::shared_ptr<void> memory = memory_.take(tokens * static_cast<int64_t>(sizeof(int32_t)), images);
  for (size_t i = 0; i < images.size(); ++i) planned.images[i].bytes = std::move(images[i]);
  return memory;
}

// A seed repeats its text: the first choice draws by the seed itself, the others by seeds made of it.
uint64_t LeaderLoop::seed_of(const SamplingParams& sampling, RequestId id) const {
  if (!sampling.seed) return mixed(parts_.options.seed, id);
  return sampling.choice == 0 ? *sampling.seed : mixed(*sampling.seed, sampling.choice);
}

CutRequest LeaderLoop::images_of(const LiveRequest& request) const {
  CutRequest images;
  images.request = request.id();
  images.client = request.request().client;
  // Length first: no identity and tenant together spell another pair.
  const std::string tenant = parts_.options.share_caches ? "" : request.request().tenant;
  images.salt = message(parts_.identity.size(), ':', parts_.identity, tenant);
  images.abandoned = request.abandoned();
  for (const PlannedImage& image : request.images()) images.images.push_back({image.bytes, image.plan});
  return images;
}

}  // namespace uhd
