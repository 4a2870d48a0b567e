#include "engine/leader/step_delivery.h"

#include <algorithm>

namespace uhd {

namespace {

void note_traced(const LiveRequest& request, const PlannedStep& step, TimePoint begin, TimePoint end) {
  if (request.record() == nullptr) return;
  std::vector<TracedStep>& steps = request.record()->steps;
  const uint64_t number = step.plan.number;
  const bool known = !steps.empty() && steps.back().number == number;  // another answer has part in it
  if (known || steps.size() >= kMostTracedSteps) return;
  steps.push_back({number, begin, end, step.batch.tokens});
}

size_t scored_rows(const BatchItem& item) {
  size_t count = 0;
  for (int at = item.scores_from; at < item.scores_end; ++at) count += item.scores(at) ? 1 : 0;
  return count;
}

}  // namespace

// Each part comes before what may end a request or take a sequence away from it.
void StepDelivery::deliver(const FinishedStep& done) {
  const TimePoint now = Clock::now();
  note_spans(done, now);
  deliver_scores(done.step.batch, done.step.scores);
  complete(done);
  for (size_t i = 0; i < sequences_.size(); ++i) {
    const RequestTable::Place place = table_.find_sequence(sequences_[i]);
    // One that had ended when the step was launched is part of it for nothing.
    if (place.request == nullptr || place.request->ended(place.answer)) continue;
    table_.guarded(place.request->id(), [&] { deliver_token(place, done.tokens[i], now); });
  }
}

void StepDelivery::note_spans(const FinishedStep& done, TimePoint now) {
  if (!table_.has_timelines()) return;
  const TimePoint begin = now - from_seconds(done.seconds);
  for (const BatchItem& item : done.step.batch.items) {
    const RequestTable::Place place = table_.find_sequence(item.sequence->id);
    if (place.request == nullptr || place.request->timeline() == nullptr) continue;
    if (place.request->ended(place.answer)) continue;
    note_traced(*place.request, done.step, begin, now);
    Timeline& timeline = *place.request->timeline();
    if (item.decodes()) {
      timeline.decoded(place.answer, begin, now);
    } else {
      timeline.add({.stage = Stage::prefill, .answer = place.answer, .tokens = item.count}, begin, now);
    }
  }
}

void StepDelivery::deliver_scores(const Batch& batch, std::span<const ScoredToken> scores) {
  for (const BatchItem& item : batch.items) {
    if (item.scores_from == item.scores_end) continue;
    const std::span<const ScoredToken> own = scores.first(scored_rows(item));
    scores = scores.subspan(own.size());
    const RequestTable::Place place = table_.find_sequence(item.sequence->id);
    if (place.request == nullptr) continue;
    const RequestId id = place.request->id();
    if (!std::ranges::all_of(own, &ScoredToken::valid)) {
      table_.end(id, FinishReason::error, not_a_number());
      continue;
    }
    const std::span<const int32_t> tokens(item.sequence->tokens);
    table_.guarded(id, [&] {
      place.request->prompt_scored(tokens.subspan(static_cast<size_t>(item.scores_from) + 1,
                                                  static_cast<size_t>(item.scores_end - item.scores_from)),
                                   own);
    });
  }
}

// Sequences that have ended are gone after this: only their names are kept.
void StepDelivery::complete(const FinishedStep& done) {
  ids_.clear();
  sequences_.clear();
  for (const SampledToken& token : done.tokens) ids_.push_back(token.id);
  for (const BatchItem& item : done.step.batch.items) {
    if (item.samples) sequences_.push_back(item.sequence->id);
  }
  scheduler_.complete(done.step.batch, ids_);
}

void StepDelivery::deliver_token(const RequestTable::Place& place, const SampledToken& token, TimePoint now) {
  LiveRequest& request = *place.request;
  if (place.answer == 0 && !request.last_token(0)) count_cached(request);
  if (const auto last = request.last_token(place.answer)) metrics_.token_gap(seconds(now - *last));
  if (request.token(place.answer, token, now) == FinishReason::none) return;
  if (request.ended()) return table_.retire(request.id());
  scheduler_.finish(request.sequence(place.answer));
}

// Counts what the first answer's sequence did not compute of the prompt, before its first token ends it.
void StepDelivery::count_cached(LiveRequest& request) {
  const Sequence* first = scheduler_.find(request.sequence(0));
  if (first == nullptr) return;
  request.cached_tokens(first->cached);
  metrics_.prefix(first->cached, first->prompt_length - first->cached);
}

}  // namespace uhd
