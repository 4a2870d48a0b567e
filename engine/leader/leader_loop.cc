#include "engine/leader/leader_loop.h"

#include <algorithm>
#include <random>

#include "base/log.h"

namespace uhd {

namespace {

constexpr Duration kBusyWait = std::chrono::milliseconds(20);

SchedulerOptions scheduler_options(const LeaderParts& parts) {
  SchedulerOptions options;
  options.max_running = parts.options.max_running;
  // The engine bounds its requests itself, running and waiting together.
  options.max_waiting = parts.options.max_running + parts.options.max_waiting;
  options.token_budget = parts.options.token_budget;
  options.page_size = parts.options.page_size;
  options.pages = parts.sizes.pages;
  return options;
}

uint64_t drawn_seed() {
  std::random_device device;
  return (uint64_t{device()} << 32) | device();
}

// What a client hears of a fault inside.
Failure internal_error() { return {500, "internal_error", "the request failed inside the server", 0}; }

Failure lost_ranks() {
  return {500, "engine_failed", "the model's ranks were lost; the answer is incomplete", 0};
}

}  // namespace

LeaderLoop::LeaderLoop(LeaderParts parts)
    : parts_(std::move(parts)),
      scheduler_(scheduler_options(parts_)),
      memory_(parts_.options.request_memory_bytes),
      images_(parts_.config.vision ? parts_.options.image.threads : 1, parts_.options.image,
              parts_.config.slicing, parts_.options.slice_memory_bytes,
              [mailbox = parts_.mailbox](CutImages cut) { mailbox->post(std::move(cut)); }),
      watchdog_(from_seconds(parts_.step_deadline_s),
                [this](uint64_t step) { ranks_lost(message("step ", step, " did not end in time")); }) {
  if (parts_.options.seed == 0) parts_.options.seed = drawn_seed();
  parts_.worker->warm_up(watchdog_);
  {
    Lock lock(streams_);
    last_step_ = Clock::now() - std::chrono::hours(1);
    probe_if_due(lock);
    publish();
  }
  thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
}

LeaderLoop::~LeaderLoop() {
  thread_.request_stop();
  parts_.mailbox->wake();
  thread_.join();
  parts_.worker->settle();
}

void LeaderLoop::run(const std::stop_token& stop) {
  Lock lock(streams_);
  try {
    while (!stop.stop_requested() && !failed_) {
      take_mail();
      advance_images();
      const bool worked = step(lock);
      publish();
      if (!worked) {
        lock.unlock();
        wait();
        lock.lock();
      }
    }
    if (failed_) return;
    while (!under_way_.empty()) finish_oldest(lock);
    parts_.mailbox->close();
    take_mail();
    end_all(FinishReason::cancelled, std::nullopt);
    plan_ = {};
    plan_.kind = StepKind::stop;
    plan_bytes_.clear();
    Writer{plan_bytes_}(plan_);
    parts_.plans->send(plan_bytes_);
  } catch (const std::exception& e) {
    if (!lock.owns_lock()) lock.lock();
    fail(e.what());
  }
}

void LeaderLoop::take_mail() {
  for (Mail& mail : parts_.mailbox->take()) {
    if (auto* request = std::get_if<std::unique_ptr<LiveRequest>>(&mail)) {
      arrive(std::move(*request));
    } else if (auto* cancelled = std::get_if<CancelRequest>(&mail)) {
      end(cancelled->id, FinishReason::cancelled, std::nullopt);
    } else {
      images_cut(std::move(std::get<CutImages>(mail)));
    }
  }
}

void LeaderLoop::arrive(std::unique_ptr<LiveRequest> request) {
  const RequestId id = request->id();
  LiveRequest& arrived = *(live_[id] = std::move(request));
  guarded(id, [&] {
    if (scheduler_.add(arrived.take_spec()) == Admission::queued) return;
    end(id, FinishReason::error, Failure{429, "queue_full", "too many requests are waiting", 1});
  });
}

void LeaderLoop::images_cut(CutImages cut) {
  const auto found = live_.find(cut.request);
  if (found == live_.end()) return;
  if (auto* failure = std::get_if<Failure>(&cut.result)) {
    end(cut.request, FinishReason::error, std::move(*failure));
    return;
  }
  guarded(cut.request, [&] { want_slices(*found->second, std::get<CutSlices>(cut.result)); });
}

void LeaderLoop::want_slices(LiveRequest& request, const CutSlices& slices) {
  std::vector<SliceJob> jobs;
  for (const VisualSpan& span : request.spans()) {
    const SharedSlice& slice = slices.at(static_cast<size_t>(span.image)).at(static_cast<size_t>(span.piece));
    const int64_t patches = patches_of({slice->width, slice->height}, parts_.config.slicing.patch);
    jobs.push_back({slice, span.length, patches});
  }
  request.images_cut(Clock::now());
  parts_.visual->want(request.id(), std::move(jobs), Clock::now());
}

void LeaderLoop::advance_images() {
  if (parts_.visual == nullptr) return;
  const VisualFlow::Progress progress = parts_.visual->poll(Clock::now(), decoding_);
  for (const VisualFlow::Ready& ready : progress.ready) {
    guarded(ready.request, [&] { slice_ready(ready); });
  }
  for (const VisualFlow::Failed& failed : progress.failed) {
    end(failed.request, FinishReason::error, failed.failure);
  }
}

void LeaderLoop::slice_ready(const VisualFlow::Ready& ready) {
  const auto found = live_.find(ready.request);
  if (found == live_.end()) return;
  LiveRequest& request = *found->second;
  scheduler_.visual_ready(ready.request, ready.span);
  if (ready.cached) {
    request.cached_slice(request.spans()[static_cast<size_t>(ready.span)].image);
    return;
  }
  Moments& moments = request.moments();
  moments.first_sent = std::min(moments.first_sent.value_or(ready.first_sent), ready.first_sent);
  moments.last_encoded = Clock::now();
}

// Where tokens stay on the device, the next step is planned and launched while the last one runs; then the
// last one's tokens are delivered.
bool LeaderLoop::step(Lock& lock) {
  const TimePoint now = Clock::now();
  Batch batch = scheduler_.next(now);
  note_schedule(batch, now);
  const bool placing = parts_.visual != nullptr && parts_.visual->has_placements();
  if (batch.items.empty() && !placing) {
    decoding_ = false;
    if (under_way_.empty()) return probe_if_due(lock);
    finish_oldest(lock);
    return true;
  }
  decoding_ = batch.samples > 0;
  make_plan(batch);
  std::vector<Tensor> pieces;
  if (placing) pieces = parts_.visual->take_placements(plan_.placements);
  launch(std::move(batch), pieces, lock);
  if (placing) parts_.visual->placed();
  const size_t stay = parts_.worker->may_stay_under_way(plan_) ? 1 : 0;
  while (under_way_.size() > stay) finish_oldest(lock);
  return true;
}

bool LeaderLoop::probe_if_due(Lock& lock) {
  if (Clock::now() - last_step_ < from_seconds(parts_.options.ready_within_s / 3)) return false;
  plan_.placements.clear();
  plan_.input = probe_input(parts_.sizes.pages, parts_.options.page_size);
  plan_.choice = Choice::greedy;
  launch({}, {}, lock);
  finish_oldest(lock);
  return true;
}

void LeaderLoop::note_schedule(const Batch& batch, TimePoint now) {
  for (RequestId id : batch.expired) {
    end(id, FinishReason::error, Failure{503, "deadline_exceeded", "the request's deadline has passed", 1});
  }
  for (RequestId id : batch.admitted) {
    Moments& moments = live_.at(id)->moments();
    if (!moments.scheduled) moments.scheduled = now;
  }
  if (!batch.preempted.empty()) parts_.metrics->preempted(static_cast<int>(batch.preempted.size()));
}

void LeaderLoop::make_plan(const Batch& batch) {
  plan_.placements.clear();
  build_forward_input(plan_.input, batch, parts_.options.page_size,
                      [this](RequestId id, int span) { return parts_.visual->rows_of(id, span); });
  rows_.clear();
  plan_.choice = Choice::greedy;
  for (const BatchItem& item : batch.items) {
    if (!item.samples) continue;
    rows_.push_back(sample_row(*item.sequence));
    plan_.choice = std::max(plan_.choice, rows_.back().choice());
  }
  if (plan_.choice != Choice::drawn) return;
  for (const SampleRow& row : rows_) append_draw(row.draw(), plan_.input.draws);
}

// A request whose row cannot be made ends; its sequence is in the step already, and any token will do.
SampleRow LeaderLoop::sample_row(const Sequence& sequence) {
  SampleRow row;
  row.temperature = 0;
  guarded(sequence.id, [&] {
    SampleRow own = live_.at(sequence.id)->sample_row(sequence);
    if (own.choice() == Choice::drawn) own.draw();
    row = own;
  });
  return row;
}

// To all ranks, by the plan that stands in plan_.
void LeaderLoop::launch(Batch batch, std::span<const Tensor> pieces, Lock& lock) {
  plan_.number = ++step_number_;
  plan_.kind = StepKind::compute;
  plan_bytes_.clear();
  Writer{plan_bytes_}(plan_);
  Step step{plan_.number, std::move(batch), 0, Clock::now()};
  for (const BatchItem& item : step.batch.items) step.decoding += item.sequence->decoding() ? 1 : 0;
  if (!step.batch.items.empty()) scheduler_.launched(step.batch);
  under_way_.push_back(std::move(step));
  watchdog_.started(plan_.number);
  lock.unlock();
  parts_.plans->send(plan_bytes_);
  parts_.worker->launch(plan_, pieces);
  lock.lock();
  check(!failed_, "the step ended after its deadline");
}

void LeaderLoop::finish_oldest(Lock& lock) {
  lock.unlock();
  // rows_ are those of the last plan; they are read where that one is drawn by the host.
  const std::vector<SampledToken> tokens = parts_.worker->finish(rows_);
  lock.lock();
  check(!failed_, "the step ended after its deadline");
  watchdog_.finished();
  const Step step = std::move(under_way_.front());
  under_way_.pop_front();
  if (!under_way_.empty()) watchdog_.started(under_way_.front().number);  // it has the device only now
  if (!step.batch.items.empty()) deliver(step, tokens);
  last_step_ = Clock::now();
}

void LeaderLoop::deliver(const Step& step, const std::vector<SampledToken>& tokens) {
  const TimePoint now = Clock::now();
  const Batch& batch = step.batch;
  std::vector<RequestId> sampled;
  for (const BatchItem& item : batch.items) {
    if (item.samples) sampled.push_back(item.sequence->id);
  }
  parts_.metrics->step(batch.tokens - step.decoding, step.decoding, static_cast<int>(batch.items.size()),
                       seconds(now - std::max(step.launched, last_step_)));
  std::vector<int32_t> ids;
  ids.reserve(tokens.size());
  for (const SampledToken& token : tokens) ids.push_back(token.id);
  scheduler_.complete(batch, ids);
  for (size_t i = 0; i < sampled.size(); ++i) {
    const auto found = live_.find(sampled[i]);
    if (found == live_.end()) continue;  // it had ended when the step was launched
    guarded(sampled[i], [&] { deliver(*found->second, tokens[i], now); });
  }
}

void LeaderLoop::deliver(LiveRequest& request, const SampledToken& token, TimePoint now) {
  const std::optional<TimePoint> last = request.moments().last_token;
  if (last) parts_.metrics->token_gap(seconds(now - *last));
  if (request.token(token, now) != FinishReason::none) retire(request.id());
}

void LeaderLoop::wait() {
  const TimePoint now = Clock::now();
  TimePoint until = last_step_ + from_seconds(parts_.options.ready_within_s / 3);
  if (!live_.empty()) until = std::min(until, now + kBusyWait);  // deadlines are the scheduler's to see
  if (parts_.visual != nullptr) {
    if (const auto next = parts_.visual->next_poll(now)) until = std::min(until, *next);
  }
  parts_.mailbox->wait_until(until);
}

void LeaderLoop::publish() {
  running_ = scheduler_.running();
  free_pages_ = scheduler_.pages().free();
  if (parts_.encoders != nullptr) {
    encoders_ = parts_.encoders->encoders();
    slices_queued_ = parts_.encoders->queued();
  }
}

template <class Work>
void LeaderLoop::guarded(RequestId id, const Work& work) {
  try {
    work();
  } catch (const std::exception& e) {
    log_error("a request failed", "id", id, "reason", e.what());
    end(id, FinishReason::error, internal_error());
  }
}

void LeaderLoop::end(RequestId id, FinishReason reason, std::optional<Failure> failure) {
  const auto found = live_.find(id);
  if (found == live_.end()) return;
  found->second->end(reason, std::move(failure), Clock::now());
  retire(id);
}

// The request has sent its last event: everything it held is free.
void LeaderLoop::retire(RequestId id) {
  scheduler_.finish(id);
  if (parts_.visual != nullptr) parts_.visual->drop(id);
  const auto found = live_.find(id);
  const LiveRequest& request = *found->second;
  const Usage& usage = request.usage();
  parts_.metrics->finished(request.finish(), usage, request.failure_code());
  log_info("request ended", "id", id, "trace", request.request().trace_id, "finish",
           name_of(request.finish()), "failure", request.failure_code(), "prompt", usage.prompt_tokens,
           "tokens", usage.completion_tokens, "ttft", usage.times.ttft, "total", usage.times.total);
  if (request.finish() == FinishReason::stop || request.finish() == FinishReason::length) {
    usual_seconds_ = 0.9 * usual_seconds_ + 0.1 * usage.times.total;
  }
  const bool uncut = !request.images().empty();
  live_.erase(found);
  if (uncut) images_.abandoned();
  --live_count_;
}

void LeaderLoop::end_all(FinishReason reason, const std::optional<Failure>& failure) {
  std::vector<RequestId> ids;
  for (const auto& [id, live] : live_) ids.push_back(id);
  std::sort(ids.begin(), ids.end());
  for (RequestId id : ids) end(id, reason, failure);
}

void LeaderLoop::ranks_lost(const std::string& reason) {
  const Lock lock(streams_);
  fail(reason);
}

// Ranks are lost: nothing more can be computed. Every stream ends with an error. streams_ is held.
void LeaderLoop::fail(const std::string& reason) {
  if (failed_.exchange(true)) return;
  log_error("the engine stops", "reason", reason);
  parts_.mailbox->close();
  for (Mail& mail : parts_.mailbox->take()) {
    auto* request = std::get_if<std::unique_ptr<LiveRequest>>(&mail);
    if (request == nullptr) continue;
    (*request)->end(FinishReason::error, lost_ranks(), Clock::now());
    --live_count_;
  }
  for (auto& [id, live] : live_) {
    live->end(FinishReason::error, lost_ranks(), Clock::now());
    parts_.metrics->finished(FinishReason::error, live->usage(), live->failure_code());
    --live_count_;
  }
  // The step under way may still look at its sequences: they stay, only their listeners are gone.
  if (parts_.on_lost) parts_.on_lost();
}

}  // namespace uhd
