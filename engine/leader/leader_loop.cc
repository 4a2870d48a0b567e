#include "engine/leader/leader_loop.h"

#include <algorithm>

#include "base/log.h"

namespace uhd {

namespace {

// A decoded token costs between these many rows of a prompt, whatever was measured.
constexpr double kLeastDecodeCost = 0.1;
constexpr double kMostDecodeCost = 100;

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

SampleRow any_token() {
  SampleRow row;
  row.rule.temperature = 0;
  return row;
}

}  // namespace

LeaderLoop::LeaderLoop(LeaderParts& parts, LeaderState& state)
    : parts_(parts),
      state_(state),
      scheduler_(scheduler_options(parts)),
      images_(parts.config.vision ? parts.options.image.threads : 1, parts.options.image,
              parts.options.backend.isa, parts.config.slicing, parts.options.slice_memory_bytes,
              [mailbox = parts.mailbox](CutImage cut) { mailbox->post(std::move(cut)); }),
      table_(
          state, *parts.mailbox, *parts.metrics, [this](const LiveRequest& ended) { release(ended); },
          parts.on_lost),
      pipeline_(*parts.plans, *parts.worker, table_, from_seconds(parts.step_deadline_s),
                [this](uint64_t step) { ranks_lost(message("step ", step, " did not end in time")); }) {
  pipeline_.warm_up();
  {
    const std::lock_guard held(table_);
    probe_if_due();
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
  try {
    const std::lock_guard held(table_);
    while (!stop.stop_requested() && !state_.failed) {
      if (!turn()) wait();
    }
    if (state_.failed) return;
    while (!pipeline_.empty()) deliver(pipeline_.finish());
    parts_.mailbox->close();
    take_mail();
    table_.end_all(FinishReason::cancelled);
    pipeline_.stop();
  } catch (const std::exception& e) {
    table_.fail(e.what());
  }
}

// Returns false when there was nothing to do.
bool LeaderLoop::turn() {
  take_mail();
  advance_images();
  const bool worked = step();
  publish();
  return worked;
}

void LeaderLoop::wait() {
  const TimePoint now = Clock::now();
  TimePoint until = pipeline_.answered() + from_seconds(parts_.options.ready_within_s / 3);
  if (!table_.empty()) until = std::min(until, now + kBusyWait);  // deadlines are the scheduler's to see
  if (parts_.visual != nullptr) {
    if (const auto next = parts_.visual->next_poll(now)) until = std::min(until, *next);
  }
  table_.away([&] { parts_.mailbox->wait_until(until); });
}

void LeaderLoop::take_mail() {
  for (Mail& mail : parts_.mailbox->take()) {
    if (auto* request = std::get_if<std::unique_ptr<LiveRequest>>(&mail)) {
      arrive(std::move(*request));
    } else if (auto* cancelled = std::get_if<CancelRequest>(&mail)) {
      table_.end(cancelled->id, FinishReason::cancelled, std::nullopt);
    } else {
      image_cut(std::move(std::get<CutImage>(mail)));
    }
  }
}

void LeaderLoop::arrive(std::unique_ptr<LiveRequest> arrived) {
  LiveRequest& request = table_.add(std::move(arrived));
  const RequestId id = request.id();
  accepted_ += request.work();
  table_.guarded(id, [&] {
    const std::optional<Fingerprint> root = cache_root(request);
    for (int answer = 0; answer < request.answers(); ++answer) {
      if (scheduler_.add(request.take_spec(answer, root)) == Admission::queued) continue;
      table_.end(id, FinishReason::error,
                 Failure{FailureKind::busy, "queue_full", "too many requests are waiting", 1});
      return;
    }
    if (!request.all_cut()) parts_.visual->add(id, request.client(), request.spans());
  });
}

void LeaderLoop::image_cut(CutImage cut) {
  LiveRequest* request = table_.find(cut.request);
  if (request == nullptr) return;
  if (const auto* failure = std::get_if<Failure>(&cut.result)) {
    return table_.end(cut.request, FinishReason::error, *failure);
  }
  table_.guarded(cut.request, [&] {
    request->image_cut(cut.image, Clock::now());
    want_slices(*request, cut);
  });
}

void LeaderLoop::want_slices(const LiveRequest& request, const CutImage& cut) {
  std::vector<SliceJob> pieces;
  for (const SharedSlice& slice : std::get<std::vector<SharedSlice>>(cut.result)) {
    pieces.push_back({slice, 0, patches_of({slice->width, slice->height}, parts_.config.slicing.patch)});
  }
  for (const VisualSpan& span : *request.spans()) {
    if (span.image == cut.image) pieces.at(static_cast<size_t>(span.piece)).rows = span.length;
  }
  parts_.visual->want(request.id(), cut.image, std::move(pieces), Clock::now());
}

// The salt says who may share what is computed of the same input: one tenant, with one model. The length goes
// first, so that no identity and tenant together spell another pair.
std::string LeaderLoop::cache_salt(const LiveRequest& request) const {
  const std::string tenant = parts_.options.share_caches ? "" : request.tenant();
  return message(parts_.identity.size(), ':', parts_.identity, tenant);
}

std::optional<Fingerprint> LeaderLoop::cache_root(const LiveRequest& request) const {
  if (!parts_.options.prefix_cache) return std::nullopt;
  return fingerprint({bytes_of(cache_salt(request))});
}

CutRequest LeaderLoop::images_of(const LiveRequest& request) const {
  CutRequest images;
  images.request = request.id();
  images.client = request.client();
  images.salt = cache_salt(request);
  images.abandoned = request.abandoned();
  for (const PlannedImage& image : request.images()) images.images.push_back({image.bytes, image.plan});
  return images;
}

void LeaderLoop::advance_images() {
  if (parts_.visual == nullptr) return;
  const VisualFlow::Progress progress = parts_.visual->poll(Clock::now(), scheduler_.decodes());
  for (RequestId id : progress.room) {
    if (const LiveRequest* request = table_.find(id)) images_.add(images_of(*request));
  }
  for (const VisualFlow::Ready& ready : progress.ready) slice_ready(ready);
  for (const VisualFlow::Failed& failed : progress.failed) {
    table_.end(failed.request, FinishReason::error, failed.failure);
  }
}

void LeaderLoop::slice_ready(const VisualFlow::Ready& ready) {
  LiveRequest* request = table_.find(ready.request);
  if (request == nullptr) return;
  if (ready.cached) return request->cached_slice(ready.image);
  Moments& moments = request->moments();
  moments.first_sent = std::min(moments.first_sent.value_or(ready.first_sent), ready.first_sent);
  moments.last_encoded = Clock::now();
}

// Where tokens stay on the device, the next step is planned and launched while the last one runs; then the
// last one's tokens are delivered.
bool LeaderLoop::step() {
  PlannedStep next = pipeline_.blank();
  if (plan(next)) {
    pipeline_.launch(std::move(next));
    if (parts_.visual != nullptr) parts_.visual->placed();
    while (pipeline_.full()) deliver(pipeline_.finish());
    return true;
  }
  pipeline_.recycle(std::move(next));
  if (pipeline_.empty()) return probe_if_due();
  deliver(pipeline_.finish());
  return true;
}

bool LeaderLoop::probe_if_due() {
  if (Clock::now() - pipeline_.answered() < from_seconds(parts_.options.ready_within_s / 3)) return false;
  PlannedStep probe = pipeline_.blank();
  probe.plan.input = probe_input(parts_.sizes.pages, parts_.options.page_size);
  pipeline_.launch(std::move(probe));
  deliver(pipeline_.finish());
  return true;
}

// Returns false when nothing can run and nothing has arrived.
bool LeaderLoop::plan(PlannedStep& step) {
  const TimePoint now = Clock::now();
  step.batch = scheduler_.next(now);
  note_schedule(step.batch, now);
  if (parts_.visual != nullptr && parts_.visual->has_placements()) {
    step.arrived = parts_.visual->take_placements(step.plan.placements);
  }
  if (step.batch.items.empty() && step.arrived.empty()) return false;
  plan_tokens(step);
  step.plan.copies = step.batch.copies;
  if (!step.batch.items.empty()) scheduler_.launched(step.batch);
  return true;
}

void LeaderLoop::note_schedule(const Batch& batch, TimePoint now) {
  for (SequenceId id : batch.expired) {
    if (const RequestTable::Place place = table_.find_sequence(id); place.request != nullptr) {
      table_.end(
          place.request->id(), FinishReason::error,
          Failure{FailureKind::unavailable, "deadline_exceeded", "the request's deadline has passed", 1});
    }
  }
  for (SequenceId id : batch.admitted) {
    const RequestTable::Place place = table_.find_sequence(id);
    if (place.request != nullptr && !place.request->moments().scheduled) {
      place.request->moments().scheduled = now;
    }
  }
  if (!batch.preempted.empty()) parts_.metrics->preempted(static_cast<int>(batch.preempted.size()));
}

void LeaderLoop::plan_tokens(PlannedStep& step) {
  StepPlan& plan = step.plan;
  build_forward_input(plan.input, step.batch, parts_.options.page_size,
                      [this](const VisualSpan& span) { return parts_.visual->rows_of(span); });
  for (const BatchItem& item : step.batch.items) {
    if (!item.samples) continue;
    step.rows.push_back(sample_row(*item.sequence));
    plan.choice = std::max(plan.choice, step.rows.back().choice());
  }
  drop_rows_of_ended(step);
  if (plan.choice != TokenChoice::drawn) return;
  for (const SampleRow& row : step.rows) append_draw(row.draw(), plan.input.draws);
}

// Rows borrow from their requests, and one whose row could not be made takes its other answers with it.
void LeaderLoop::drop_rows_of_ended(PlannedStep& step) {
  size_t row = 0;
  for (const BatchItem& item : step.batch.items) {
    if (!item.samples) continue;
    if (table_.find_sequence(item.sequence->id).request == nullptr) step.rows[row] = any_token();
    ++row;
  }
}

// A request whose row cannot be made ends; its sequence is in the step already, and any token will do.
SampleRow LeaderLoop::sample_row(const Sequence& sequence) {
  SampleRow row = any_token();
  const RequestTable::Place place = table_.find_sequence(sequence.id);
  if (place.request == nullptr) return row;
  table_.guarded(place.request->id(), [&] {
    SampleRow own = place.request->sample_row(place.answer, sequence);
    if (own.choice() == TokenChoice::drawn) own.draw();
    row = own;
  });
  return row;
}

void LeaderLoop::deliver(FinishedStep done) {
  const TimePoint now = Clock::now();
  const Batch& batch = done.step.batch;
  if (!batch.items.empty()) {
    parts_.metrics->step(batch.tokens - done.step.decoding, done.step.decoding,
                         static_cast<int>(batch.items.size()), done.seconds);
    cost_.stepped(batch.tokens - done.step.decoding, done.step.decoding, done.seconds);
    scheduler_.set_decode_cost(std::clamp(cost_.decode_in_prefill_rows(), kLeastDecodeCost, kMostDecodeCost));
    std::vector<int32_t> ids;
    std::vector<SequenceId> sampled;
    for (const SampledToken& token : done.tokens) ids.push_back(token.id);
    for (const BatchItem& item : batch.items) {
      if (item.samples) sampled.push_back(item.sequence->id);
    }
    scheduler_.complete(batch, ids);
    for (size_t i = 0; i < sampled.size(); ++i) {
      const RequestTable::Place place = table_.find_sequence(sampled[i]);
      // One that had ended when the step was launched is part of it for nothing.
      if (place.request == nullptr || place.request->ended(place.answer)) continue;
      table_.guarded(place.request->id(), [&] { deliver(place, done.tokens[i], now); });
    }
  }
  pipeline_.recycle(std::move(done.step));
}

void LeaderLoop::deliver(const RequestTable::Place& place, const SampledToken& token, TimePoint now) {
  LiveRequest& request = *place.request;
  if (place.answer == 0 && !request.last_token(0)) count_cached(request);
  if (const auto last = request.last_token(place.answer)) parts_.metrics->token_gap(seconds(now - *last));
  if (request.token(place.answer, token, now) == FinishReason::none) return;
  if (request.ended()) return table_.retire(request.id());
  scheduler_.finish(request.sequence(place.answer));
}

// Counts what the first answer's sequence did not compute of the prompt, before its first token ends it.
void LeaderLoop::count_cached(LiveRequest& request) {
  const Sequence* first = scheduler_.find(request.sequence(0));
  if (first == nullptr) return;
  request.cached_tokens(first->cached);
  parts_.metrics->prefix_cached(first->cached);
}

void LeaderLoop::release(const LiveRequest& request) {
  accepted_ -= request.work();
  for (int answer = 0; answer < request.answers(); ++answer) scheduler_.finish(request.sequence(answer));
  if (parts_.visual != nullptr) parts_.visual->drop(request.id());
  if (!request.all_cut()) images_.abandoned();
  publish();  // before its places are free: whoever finds the engine idle finds nothing running
}

void LeaderLoop::publish() {
  state_.running = scheduler_.running();
  state_.free_pages = scheduler_.pages().free();
  state_.queued_seconds = cost_.predict(accepted_).total();
  state_.deepest_debt = scheduler_.turns().deepest_debt();
  state_.cached_pages = scheduler_.pages().named();
  if (parts_.encoders != nullptr) {
    state_.encoders = parts_.encoders->encoders();
    state_.slices_queued = parts_.encoders->queued();
  }
}

}  // namespace uhd
