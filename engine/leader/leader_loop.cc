#include "engine/leader/leader_loop.h"

#include <algorithm>
#include <climits>

#include "base/log.h"
#include "engine/leader/cache_salt.h"

namespace uhd {

namespace {

// A decoded token costs between these many rows of a prompt, whatever was measured.
constexpr double kLeastDecodeCost = 0.1;
constexpr double kMostDecodeCost = 100;

// A look at the encoders that takes so long has encoded something.
constexpr double kLeastGap = 1e-3;

constexpr Duration kBusyWait = std::chrono::milliseconds(20);

// Reports of other ranks wake nobody.
constexpr Duration kReportWait = std::chrono::milliseconds(1);

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

void remember(const CutImage& cut, KnownCuts& cuts) {
  const auto* slices = std::get_if<std::vector<SharedSlice>>(&cut.result);
  if (slices == nullptr) return;
  std::vector<Fingerprint> pieces;
  for (const SharedSlice& slice : *slices) pieces.push_back(slice->fingerprint);
  cuts.add(cut.cut, std::move(pieces));
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
              [mailbox = parts.mailbox, &cuts = state.cuts](CutImage cut) {
                remember(cut, cuts);
                mailbox->post(std::move(cut));
              }),
      table_(
          state, *parts.mailbox, *parts.metrics, [this](const LiveRequest& ended) { release(ended); },
          parts.on_lost),
      delivery_(scheduler_, table_, *parts.metrics),
      pipeline_(*parts.plans, *parts.worker, table_, from_seconds(parts.step_deadline_s),
                [this](uint64_t step) { ranks_lost(message("step ", step, " did not end in time")); }),
      gaps_(parts.options.tpot_target_ms / 1000),
      report_(parts, state, table_, scheduler_, cost_) {
  pipeline_.warm_up();
  {
    const std::lock_guard held(table_);
    probe_if_due();
    report_.publish(accepted_);
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
    while (!pipeline_.empty()) finish_step();
    parts_.mailbox->close();
    take_mail();
    table_.end_all(FinishReason::cancelled);
    pipeline_.stop();
  } catch (const std::exception& e) {
    table_.fail(e.what());
  }
}

// Returns false when there was nothing to do. The step reads what has come before pictures get their
// share of the turn.
bool LeaderLoop::turn() {
  take_mail();
  want_what_was_left_out();
  const bool stepped = step();
  const bool encoded = advance_images();
  advance_traces();
  report_.publish(accepted_);
  return stepped || encoded;
}

void LeaderLoop::wait() {
  const TimePoint now = Clock::now();
  TimePoint until = pipeline_.answered() + from_seconds(parts_.options.ready_within_s / 3);
  if (!table_.empty()) until = std::min(until, now + kBusyWait);  // deadlines are the scheduler's to see
  if (parts_.visual != nullptr) {
    if (const auto next = parts_.visual->next_poll(now)) until = std::min(until, *next);
  }
  if (parts_.tracer != nullptr && parts_.tracer->awaits_reports()) until = std::min(until, now + kReportWait);
  table_.away([&] { parts_.mailbox->wait_until(until); });
}

void LeaderLoop::advance_traces() {
  if (parts_.tracer == nullptr || !parts_.tracer->awaits_reports()) return;
  for (const StepReport& report : parts_.plans->reports()) parts_.tracer->reported(report, Clock::now());
  parts_.tracer->poll(Clock::now());
}

void LeaderLoop::take_mail() {
  for (Mail& mail : parts_.mailbox->take()) {
    if (auto* request = std::get_if<std::unique_ptr<LiveRequest>>(&mail)) {
      arrive(std::move(*request));
    } else if (auto* cancelled = std::get_if<CancelRequest>(&mail)) {
      table_.end(cancelled->id, FinishReason::cancelled, std::nullopt);
    } else if (auto* question = std::get_if<CacheQuestion>(&mail)) {
      tell_cached(std::move(*question));
    } else {
      image_cut(std::move(std::get<CutImage>(mail)));
    }
  }
}

// The thread that asked waits no longer than it likes, so perhaps nobody hears the answer.
void LeaderLoop::tell_cached(CacheQuestion question) const {
  CachedParts cached{.tokens = scheduler_.kept_tokens(question.pages)};
  if (parts_.visual != nullptr) cached.slices = parts_.visual->cached(question.spans, cached.tokens);
  question.answer.set_value(cached);
}

void LeaderLoop::arrive(std::unique_ptr<LiveRequest> arrived) {
  LiveRequest& request = table_.add(std::move(arrived));
  const RequestId id = request.id();
  accepted_ += request.work();
  table_.guarded(id, [&] {
    if (request.record() != nullptr) parts_.tracer->arrived(request.record());
    request.tell_arrival();
    request.begin_scores();
    const std::optional<Fingerprint> root = cache_root(parts_, request.tenant());
    for (int answer = 0; answer < request.answers(); ++answer) {
      if (scheduler_.add(request.take_spec(answer, root)) == Admission::queued) continue;
      table_.end(id, FinishReason::error,
                 Failure{FailureKind::busy, "queue_full", "too many requests are waiting", 1});
      return;
    }
    if (ended_by_deadline(request) || request.all_cut()) return;
    parts_.visual->add(id, request.client(), request.urgency(), request.spans());
  });
}

// Ends a request whose first token cannot come in time, by what was measured, before anything of it is
// encoded or computed, and returns true then. It is known what is kept of it when all of its images are cut.
// Before that it is known only where a whole page of text before them is not kept: then nothing behind that
// page is, though slices need perhaps not be encoded.
bool LeaderLoop::ended_by_deadline(LiveRequest& request) {
  if (!request.deadline() || !cost_.measured()) return false;
  const int covered = covered_tokens(request);
  if (!request.all_cut() && parts_.options.prefix_cache) {
    const int text = std::ranges::min(*request.spans(), {}, &VisualSpan::position).position;
    if (covered + parts_.options.page_size > text) return false;
  }
  Work left{.prefill_rows = request.work().prefill_rows - covered, .decode_rows = 1};
  for (const VisualSpan& span : *request.spans()) {
    const bool encodes = span.held && !span.ready && cost_.measured_encoding();
    if (encodes) left.patches += request.work().patches / static_cast<int64_t>(request.spans()->size());
  }
  const StageSeconds need = cost_.predict(left, parts_.encoders == nullptr ? 1 : parts_.encoders->encoders());
  const double there = seconds(*request.deadline() - Clock::now());
  if (there <= 0 || can_end_within(need, there)) return false;
  table_.end(request.id(), FinishReason::error,
             Failure{FailureKind::unavailable, "deadline_unreachable",
                     message("the first token would take about ", need.total(), " s, and ", there,
                             " s are left of the request's time"),
                     1});
  return true;
}

void LeaderLoop::image_cut(CutImage cut) {
  LiveRequest* request = table_.find(cut.request);
  if (request == nullptr) return;
  if (const auto* failure = std::get_if<Failure>(&cut.result)) {
    return table_.end(cut.request, FinishReason::error, *failure);
  }
  table_.guarded(cut.request, [&] {
    request->image_cut(Clock::now());
    note(*request, {.stage = Stage::cut, .image = cut.image}, cut.begun, cut.ended);
    const bool first_time = !request->was_cut();
    want_slices(*request, cut);
    if (first_time && request->all_cut()) ended_by_deadline(*request);
  });
}

void LeaderLoop::want_slices(LiveRequest& request, const CutImage& cut) {
  std::vector<SliceJob> pieces;
  for (const SharedSlice& slice : std::get<std::vector<SharedSlice>>(cut.result)) {
    pieces.push_back({slice, 0, patches_of({slice->width, slice->height}, parts_.config.slicing.patch)});
  }
  for (const VisualSpan& span : *request.spans()) {
    if (span.image == cut.image) pieces.at(static_cast<size_t>(span.piece)).rows = span.length;
  }
  // Kept pages are found by the slices that they show.
  VisualFlow::name(*request.spans(), cut.image, pieces);
  const int covered = covered_tokens(request);
  if (parts_.visual->want(request.id(), cut.image, std::move(pieces), Clock::now(), covered) > 0) {
    left_out_.emplace(request.id(), cut.image);
  } else {
    request.forget_bytes(cut.image);
  }
}

// Returns how many tokens of the prompt have their keys and values in the pages of every answer that goes on.
int LeaderLoop::covered_tokens(const LiveRequest& request) {
  int covered = INT_MAX;
  for (int answer = 0; answer < request.answers(); ++answer) {
    if (!request.ended(answer)) covered = std::min(covered, scheduler_.adopt(request.sequence(answer)));
  }
  return covered;
}

// A sequence that lost the pages of a slice which nobody encoded needs the slice's rows: its image is cut
// again, and its slices are wanted as if for the first time.
void LeaderLoop::want_what_was_left_out() {
  for (auto image = left_out_.begin(); image != left_out_.end();) {
    LiveRequest& request = *table_.find(image->first);
    const int covered = covered_tokens(request);
    const bool lost = std::ranges::any_of(*request.spans(), [&](const VisualSpan& span) {
      return span.image == image->second && !span.held && span.position + span.length > covered;
    });
    if (!lost) {
      ++image;
      continue;
    }
    CutRequest again = images_of(request);
    std::erase_if(again.images, [&](const ImageTask& task) { return task.number != image->second; });
    request.cut_again();
    parts_.metrics->image_cut_again();
    images_.add(std::move(again));
    image = left_out_.erase(image);
  }
}

CutRequest LeaderLoop::images_of(const LiveRequest& request) const {
  CutRequest images;
  images.request = request.id();
  images.client = request.client();
  images.urgency = request.urgency();
  images.salt = cache_salt(parts_, request.tenant());
  images.abandoned = request.abandoned();
  for (const PlannedImage& image : request.images()) {
    images.images.push_back({image.bytes, image.plan, static_cast<int>(images.images.size())});
  }
  return images;
}

// Returns true if something is new for the next step.
bool LeaderLoop::advance_images() {
  if (parts_.visual == nullptr) return false;
  const TimePoint now = Clock::now();
  const VisualFlow::Progress progress = parts_.visual->poll(now, gaps_.encoding_turn(scheduler_.decoding()));
  const double took = seconds(Clock::now() - now);
  gaps_.encoded(took);
  if (took > kLeastGap && scheduler_.decoding() > 0) parts_.metrics->picture_gap(took);
  if (const auto speed = parts_.visual->encoders().patch_seconds()) cost_.set_patch_seconds(*speed);
  for (RequestId id : progress.room) {
    if (const LiveRequest* request = table_.find(id)) images_.add(images_of(*request));
  }
  for (const VisualFlow::Ready& ready : progress.ready) slice_ready(ready);
  for (const VisualFlow::Failed& failed : progress.failed) {
    table_.end(failed.request, FinishReason::error, failed.failure);
  }
  return !progress.room.empty() || !progress.ready.empty() || !progress.failed.empty();
}

void LeaderLoop::slice_ready(const VisualFlow::Ready& ready) {
  LiveRequest* request = table_.find(ready.request);
  if (request == nullptr) return;
  note_slice(*request, ready);
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
    PlannedStep& launched = pipeline_.launch(std::move(next));
    if (launched.plan.timed) parts_.tracer->launched(launched.plan.number, launched.launched);
    if (parts_.visual != nullptr) parts_.visual->placed();
    if (launched.has_masks || launched.plan.choice == TokenChoice::by_host) choose_late(launched);
    while (pipeline_.full()) finish_step();
    return true;
  }
  pipeline_.recycle(std::move(next));
  if (pipeline_.empty()) return probe_if_due();
  finish_step();
  return true;
}

bool LeaderLoop::probe_if_due() {
  if (Clock::now() - pipeline_.answered() < from_seconds(parts_.options.ready_within_s / 3)) return false;
  PlannedStep probe = pipeline_.blank();
  probe.plan.input = probe_input(parts_.sizes.pages, parts_.options.page_size);
  pipeline_.launch(std::move(probe));
  finish_step();
  return true;
}

// Returns false when nothing can run and nothing has arrived.
bool LeaderLoop::plan(PlannedStep& step) {
  const TimePoint now = Clock::now();
  scheduler_.set_step_rows(gaps_.step_rows(scheduler_.decoding(), parts_.options.token_budget));
  step.batch = scheduler_.next(now);
  note_schedule(step.batch, now);
  if (parts_.visual != nullptr && parts_.visual->has_placements()) {
    step.arrived = parts_.visual->take_placements(step.plan.placements);
  }
  if (step.batch.items.empty() && step.arrived.empty()) return false;
  plan_tokens(step);
  step.plan.copies = step.batch.copies;
  step.plan.timed = parts_.tracer != nullptr && parts_.tracer->times_steps();
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
      note(*place.request, {.stage = Stage::queue}, place.request->moments().submitted, now);
    }
  }
  if (!batch.preempted.empty()) parts_.metrics->preempted(static_cast<int>(batch.preempted.size()));
}

// Tells a span to a request that has a timeline.
void LeaderLoop::note(LiveRequest& request, const TimelineSpan& span, TimePoint begin, TimePoint end) {
  if (request.timeline() != nullptr) request.timeline()->add(span, begin, end);
}

void LeaderLoop::note_slice(LiveRequest& request, const VisualFlow::Ready& ready) {
  if (request.timeline() == nullptr) return;
  const TimePoint now = Clock::now();
  TimelineSpan span{.stage = Stage::cached, .image = ready.image, .slice = ready.piece};
  if (ready.cached) return request.timeline()->add(span, now, now);
  const SliceCourse& course = ready.course;
  const auto tell = [&](Stage stage, TimePoint begin, TimePoint end) {
    span.stage = stage;
    request.timeline()->add(span, begin, end);
  };
  tell(Stage::wait, ready.wanted, course.sent);
  span.encoder = static_cast<int>(course.encoder);
  const bool elsewhere = course.encoder != 0;
  if (elsewhere) tell(Stage::send, course.sent, course.begun);
  tell(Stage::encode, course.begun, course.encoded.value_or(now));
  if (elsewhere && course.encoded) tell(Stage::transfer, *course.encoded, now);
}

void LeaderLoop::plan_tokens(PlannedStep& step) {
  StepPlan& plan = step.plan;
  build_forward_input(plan.input, step.batch, parts_.options.page_size,
                      [this](const VisualSpan& span) { return parts_.visual->rows_of(span); });
  for (const BatchItem& item : step.batch.items) {
    ask_scores(item, step.asked);
    if (!item.samples) continue;
    step.rows.push_back(sample_row(*item.sequence));
    plan.choice = std::max(plan.choice, step.rows.back().choice());
    step.has_masks = step.has_masks || step.rows.back().masked;
  }
  plan.masked = step.has_masks && plan.choice != TokenChoice::by_host;
  drop_rows_of_ended(step);
  if (plan.choice != TokenChoice::drawn) return;
  for (const SampleRow& row : step.rows) append_draw(row.draw(), plan.input.draws);
}

void LeaderLoop::ask_scores(const BatchItem& item, std::vector<ScoreRow>& asked) {
  const RequestTable::Place place = table_.find_sequence(item.sequence->id);
  for (int at = item.scores_from; at < item.scores_end; ++at) {
    if (!item.scores(at)) continue;
    const int32_t next = item.sequence->tokens[static_cast<size_t>(at) + 1];
    asked.push_back(place.request != nullptr ? place.request->score_row(next) : ScoreRow{next});
  }
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

// Some rows follow from the tokens before, which are known when the steps before are finished; the step's
// forward pass runs meanwhile on a device. Requests that end then take their rows along.
void LeaderLoop::choose_late(PlannedStep& step) {
  while (pipeline_.under_way() > 1) finish_step();
  if (step.has_masks) mask_rows(step);
  drop_rows_of_ended(step);
  pipeline_.choose();
}

// The step's deadline runs: grammars that take long end with their requests before they take a part of it.
void LeaderLoop::mask_rows(PlannedStep& step) {
  constexpr double kSlow_s = 0.01;
  const double most = parts_.step_deadline_s / 4;
  double slow = 0;
  size_t next = 0;
  for (const BatchItem& item : step.batch.items) {
    if (!item.samples) continue;
    SampleRow& row = step.rows[next++];
    const RequestTable::Place place = table_.find_sequence(item.sequence->id);
    if (!row.masked || place.request == nullptr || place.request->ended(place.answer)) continue;
    table_.guarded(place.request->id(), [&] {
      const TimePoint begun = Clock::now();
      row.mask = place.request->next_mask(place.answer);
      const double took = seconds(Clock::now() - begun);
      slow += took > kSlow_s ? took : 0;
      check(took <= kSlow_s || slow < most, "grammars of one step took ", slow, " s");
    });
  }
}

void LeaderLoop::finish_step() {
  FinishedStep done = pipeline_.finish();
  if (!done.step.batch.items.empty()) {
    measure(done);
    delivery_.deliver(done);
  }
  pipeline_.recycle(std::move(done.step));
}

// Later steps are predicted from the time that this one took.
void LeaderLoop::measure(const FinishedStep& done) {
  const Batch& batch = done.step.batch;
  if (parts_.collectives != nullptr) {
    parts_.metrics->collectives(std::exchange(parts_.collectives->seconds, 0));
  }
  parts_.metrics->step(batch.tokens - done.step.decoding, done.step.decoding,
                       static_cast<int>(batch.items.size()), done.seconds);
  if (!done.step.shares_time) {
    cost_.stepped(batch.rows() - done.step.decoding, done.step.decoding, done.seconds);
    gaps_.measured(batch.rows(), done.seconds);
  }
  gaps_.prompts_want_rows(batch.prompts_wait || batch.tokens > done.step.decoding);
  scheduler_.set_decode_cost(std::clamp(cost_.decode_in_prefill_rows(), kLeastDecodeCost, kMostDecodeCost));
}

void LeaderLoop::release(const LiveRequest& request) {
  accepted_ -= request.work();
  count_cost(request);
  if (request.record() != nullptr) {
    parts_.tracer->ended(request.record(), name_of(request.finish()), Clock::now());
  }
  for (int answer = 0; answer < request.answers(); ++answer) scheduler_.finish(request.sequence(answer));
  if (parts_.visual != nullptr) parts_.visual->drop(request.id());
  if (!request.all_cut()) images_.abandoned();
  left_out_.erase(left_out_.lower_bound({request.id(), 0}), left_out_.lower_bound({request.id() + 1, 0}));
  // It comes before the places are free, so that whoever finds the engine idle finds nothing running.
  report_.publish(accepted_);
}

// The quota was charged what was predicted; what was done of it is priced by what was measured meanwhile.
void LeaderLoop::count_cost(const LiveRequest& request) {
  const Sequence* first = scheduler_.find(request.sequence(0));
  const int begun = first == nullptr ? 0 : std::max(0, first->computed - first->cached);
  const double cost = cost_.predict(request.done(begun)).total();
  state_.quotas.correct(request.tenant(), request.charged(), cost);
  if (!request.tenant().empty()) parts_.metrics->key_cost(request.tenant(), cost);
}

}  // namespace uhd
