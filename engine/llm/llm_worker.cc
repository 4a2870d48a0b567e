#include "engine/llm/llm_worker.h"

#include <algorithm>
#include <utility>

#include "base/bytes_text.h"
#include "base/log.h"
#include "model/language/step_memory.h"

namespace uhd {

namespace {

// Steps whose recordings differ: by the choice of their tokens, if it is a part of them, and by their inputs.
int variant_of(const StepPlan& plan) {
  enum { greedy, drawn, no_choice, no_choice_yet_with_draws };
  if (plan.choice == TokenChoice::by_host) return no_choice;
  const bool draws = plan.choice == TokenChoice::drawn;
  if (plan.masked) return draws ? no_choice_yet_with_draws : no_choice;
  return draws ? drawn : greedy;
}

// Rows are placed before a step takes its workspace.
size_t workspace_bytes(const Llama& llama, const WorkerSizes& sizes, DType activations) {
  const size_t placing = (static_cast<size_t>(sizes.max_piece_rows) * sizeof(int32_t) + 63) / 64 * 64;
  const size_t copying =
      2 * ((static_cast<size_t>(sizes.step.max_sequences) * sizeof(int32_t) + 63) / 64 * 64);
  return std::max(
      {placing, copying,
       step_bytes(llama.config(), llama.shard(), sizes.step, activations, llama.virtual_shards())});
}

std::shared_ptr<Workspace> with_room(std::shared_ptr<Workspace> shared, Backend& backend, size_t bytes) {
  if (shared == nullptr) return std::make_shared<Workspace>(backend, bytes);
  shared->enlarge(bytes);
  return shared;
}

}  // namespace

LlmWorker::LlmWorker(std::unique_ptr<Llama> llama, Backend& backend, Communicator& group, int vocabulary,
                     const WorkerSizes& sizes, std::shared_ptr<Workspace> shared)
    : backend_(backend),
      group_(group),
      sizes_(sizes),
      llama_(std::move(llama)),
      sampler_(backend, group, llama_->shard(), vocabulary, sizes.step.max_sequences),
      store_(backend, sizes.visual_rows, llama_->config().hidden),
      workspace_(
          with_room(std::move(shared), backend, workspace_bytes(*llama_, sizes, backend.activation_dtype()))),
      hidden_(llama_->config().hidden),
      overlap_(sizes.overlap && !backend.host_memory()) {
  if (sizes.max_piece_rows > 0 && group.rank() > 0) {
    incoming_ = backend.allocate(static_cast<size_t>(sizes.max_piece_rows) * static_cast<size_t>(hidden_) *
                                 size_of(backend.activation_dtype()));
  }
}

void LlmWorker::take_pages(int pages) {
  StepLimits& step = sizes_.step;
  sizes_.pages = pages;
  step.max_context = static_cast<int>(std::min(int64_t{step.max_context}, int64_t{pages} * step.page_size));
  cache_.emplace(backend_, llama_->config().layers, llama_->shard().kv_heads, llama_->config().head_dim,
                 pages + 1, step.page_size, sizes_.kv);
  graphs_.emplace(backend_, group_, step, pages);
}

std::vector<ScoredToken> LlmWorker::launch(const StepPlan& plan, std::span<const Tensor> arrived,
                                           std::span<const ScoreRow> scored) {
  const ProfilerRange range(backend_, "uhd_step");
  check(!sampler_.holds_logits() && unchosen() == 0,
        "a step is launched before the tokens of the last were drawn");
  step_.reset();
  place(plan, arrived);
  copy_pages(plan.copies);
  std::vector<ScoredToken> scores;
  launched_.push_back({plan.number, !plan.input.sample_at.empty(), plan.timed});
  if (!plan.input.ids.empty()) scores = compute(plan, scored);
  return scores;
}

void LlmWorker::copy_pages(const std::vector<PageCopy>& copies) {
  if (copies.empty()) return;
  const Workspace::Scope scope(*workspace_);
  std::vector<int32_t> from, to;
  for (const PageCopy& copy : copies) {
    from.push_back(copy.from);
    to.push_back(copy.to);
  }
  const Tensor sources = workspace_->put(from), targets = workspace_->put(to);
  for (int i = 0; i < cache_->layers(); ++i) backend_.copy_pages(cache_->layer(i), sources, targets);
}

std::vector<ScoredToken> LlmWorker::compute(const StepPlan& plan, std::span<const ScoreRow> asked) {
  const ProfilerRange range(backend_, "uhd_step.compute");
  step_.emplace(*workspace_);
  const ForwardInput* decoding = graphs_->padded(plan.input);
  const ForwardInput& input = decoding != nullptr ? *decoding : plan.input;
  const StepInputs inputs = llama_->upload(input, store_.rows(), sampler_.drawn(), *cache_, *workspace_);
  const auto samples = static_cast<int64_t>(plan.input.sample_at.size());
  Tensor logits;
  if (samples > 0) logits = workspace_->take(DType::f32, {inputs.sample_at.rows(), llama_->shard().ids});
  Tensor scored;
  if (!inputs.score_at.empty()) {
    scored = workspace_->take(backend_.activation_dtype(), {inputs.score_at.rows(), hidden_});
  }
  const bool waits = plan.masked && samples > 0;
  const bool chooses = plan.choice != TokenChoice::by_host && samples > 0 && !waits;
  const auto queue = [&] {
    llama_->compute(logits, inputs, *cache_, *workspace_, scored);
    if (chooses) sampler_.choose(logits, inputs.draws, *workspace_);
  };
  if (decoding != nullptr) {
    graphs_->run(inputs.ids.rows(), variant_of(plan), queue);
  } else {
    queue();
  }
  if (waits) {
    launched_.back().unchosen = Unchosen{logits, inputs.draws, samples};
  } else if (chooses) {
    sampler_.fetch_chosen(samples);
  } else if (samples > 0) {
    sampler_.fetch_logits(logits.slice_rows(0, samples), *workspace_);
  }
  return scored.empty() ? std::vector<ScoredToken>{} : score(scored, asked);
}

void LlmWorker::choose(const RowMasks& masks) {
  const ProfilerRange range(backend_, "uhd_step.choose");
  check(unchosen() == 1, "no step waits for masks");
  const Unchosen step = *std::exchange(launched_.back().unchosen, std::nullopt);
  sampler_.mask(step.logits, masks, *workspace_);
  sampler_.choose(step.logits, step.draws, *workspace_);
  sampler_.fetch_chosen(step.samples);
}

// A few rows at a time: logits of all of them would be larger than everything else in a step.
std::vector<ScoredToken> LlmWorker::score(Tensor rows, std::span<const ScoreRow> asked) {
  const ProfilerRange range(backend_, "uhd_step.score");
  check(group_.rank() != 0 || static_cast<int64_t>(asked.size()) == rows.rows(), "a step scores ",
        rows.rows(), " rows, and ", asked.size(), " are asked for");
  std::vector<ScoredToken> scores;
  for (int64_t first = 0; first < rows.rows(); first += kRowsScoredAtOnce) {
    const Workspace::Scope scope(*workspace_);
    const int64_t count = std::min<int64_t>(rows.rows() - first, kRowsScoredAtOnce);
    const Tensor logits = workspace_->take(DType::f32, {count, llama_->shard().ids});
    llama_->score(logits, rows.slice_rows(first, count));
    const auto own =
        asked.empty() ? asked : asked.subspan(static_cast<size_t>(first), static_cast<size_t>(count));
    for (ScoredToken& token : sampler_.score(logits, own, *workspace_)) scores.push_back(std::move(token));
  }
  return scores;
}

std::vector<SampledToken> LlmWorker::finish(std::span<const SampleRow> rows) {
  const ProfilerRange range(backend_, "uhd_step.wait");
  check(launched_.size() > unchosen(), "no step is under way whose tokens are chosen");
  const bool samples = launched_.front().samples;
  launched_.pop_front();
  std::vector<SampledToken> tokens;
  if (samples) tokens = sampler_.take(rows);
  if (launched_.empty()) step_.reset();
  return tokens;
}

// With several ranks each power of two is run, because NCCL connects them anew for other sizes of sums; then
// decode steps, by every choice.
std::vector<StepPlan> LlmWorker::first_steps() const {
  const StepLimits& limits = sizes_.step;
  const auto page = static_cast<int32_t>(sizes_.pages);
  const int most = static_cast<int>(
      std::min(int64_t{limits.max_tokens}, int64_t{limits.max_context} * limits.max_sequences));
  std::vector<StepPlan> plans(1);
  const int visual = std::min({sizes_.max_piece_rows, sizes_.visual_rows, most});
  plans[0].input = prompt_input(most, visual, true, limits, page);
  if (visual > 0) {
    plans[0].placements.resize(1);
    for (int32_t row = 0; row < visual; ++row) plans[0].placements[0].rows.push_back(row);
  }
  plans[0].copies = {{page, page}};
  const int factor = group_.size() > 1 ? 2 : most;
  for (int tokens = 1; tokens < most; tokens *= factor) {
    plans.emplace_back().input = prompt_input(tokens, 0, false, limits, page);
  }
  for (const int size : DecodeGraphs::batch_sizes(limits.max_sequences)) {
    using enum TokenChoice;
    for (const auto& [choice, masked] :
         {std::pair(greedy, false), std::pair(drawn, false), std::pair(by_host, false),
          std::pair(greedy, true), std::pair(drawn, true)}) {
      StepPlan& plan = plans.emplace_back();
      plan.choice = choice;
      plan.masked = masked;
      plan.input = decode_input(size, page, limits.page_size);
      if (choice == TokenChoice::drawn) plan.input.draws.assign(static_cast<size_t>(size * kDrawWords), 0);
    }
  }
  return plans;
}

void LlmWorker::warm_up(Watchdog& watchdog) {
  if (backend_.host_memory()) return;
  const TimePoint begin = Clock::now();
  const size_t free = backend_.free_memory();
  llama_->prepare(sizes_.step, *workspace_);
  backend_.synchronize();
  const std::vector<SampleRow> rows(static_cast<size_t>(sizes_.step.max_sequences));
  for (const StepPlan& plan : first_steps()) {
    watchdog.started(plan.number);
    // The rows of the store stand for a slice's: they go where they are.
    std::vector<Tensor> arrived;
    if (group_.rank() == 0 && !plan.placements.empty())
      arrived.push_back(store_.rows().slice_rows(0, static_cast<int64_t>(plan.placements[0].rows.size())));
    launch(plan, arrived);
    if (plan.masked) choose({.rows = {0}, .words = {-1}});
    finish(std::span(rows).first(plan.input.sample_at.size()));
    watchdog.finished();
  }
  backend_.synchronize();
  const size_t left = backend_.free_memory();
  log_info(message(
      "memory of LLM rank ", group_.rank(), ": ", graphs_->recorded(), " recorded steps and libraries ",
      bytes_text(static_cast<int64_t>(free - std::min(free, left))), ", left ",
      bytes_text(static_cast<int64_t>(left)), ", first steps took ", seconds(Clock::now() - begin), " s"));
}

void LlmWorker::settle() noexcept {
  try {
    backend_.synchronize();
  } catch (const std::exception& e) {
    log_debug("work under way was given up", "rank", group_.rank(), "reason", e.what());
  }
}

// Tokens that the host draws must be known before anything else is queued.
bool LlmWorker::may_stay_under_way(const StepPlan& plan) const {
  return overlap_ && plan.choice != TokenChoice::by_host && !plan.input.sample_at.empty();
}

// A rank that is gone may be told of by nothing but time: while a step is under way by the watchdog's, else
// by the leader's silence. It is counted in waits of this rank, so that a pause of the whole job is none.
void LlmWorker::follow(PlanChannel& plans, Watchdog& watchdog, Duration silence) {
  // Time for the leader's next plan, before this rank looks whether the last step ended well.
  constexpr Duration kSoon = std::chrono::milliseconds(1);
  constexpr Duration kIdle = std::chrono::seconds(1);
  StepPlan plan;
  Duration quiet{};
  size_t stays = 0;  // of the steps launched
  warm_up(watchdog);
  for (;;) {
    const std::optional<std::vector<std::byte>> bytes =
        plans.receive(launched_.size() == unchosen() ? kIdle : kSoon);
    if (!bytes) {
      if (launched_.empty()) quiet += kIdle;
      require(quiet < silence, "the leader has sent nothing for ", seconds(silence), " s");
      finish_watched(plans, watchdog, unchosen());
      continue;
    }
    quiet = {};
    const ClockStamp reached = stamp_of(Clock::now());
    Reader reader(*bytes);
    reader(plan);
    if (plan.kind == StepKind::stop) return;
    if (plan.kind == StepKind::choose) {
      choose(plan.masks);
    } else {
      if (launched_.empty()) watchdog.started(plan.number);
      if (plan.timed)
        timed_.push_back({.number = plan.number, .reached = reached, .begun = stamp_of(Clock::now())});
      launch(plan, {});
      stays = may_stay_under_way(plan) ? 1 : 0;
    }
    finish_watched(plans, watchdog, std::max(unchosen(), stays));
  }
}

// Finishes the oldest steps, of which `stay` may stay under way.
void LlmWorker::finish_watched(PlanChannel& plans, Watchdog& watchdog, size_t stay) {
  while (launched_.size() > stay) {
    const bool timed = launched_.front().timed;
    finish({});
    watchdog.finished();
    if (timed) {
      StepReport report = timed_.front();
      timed_.pop_front();
      report.rank = group_.rank();
      report.ended = stamp_of(Clock::now());
      report.begun = std::max(report.begun, std::exchange(busy_until_, report.ended));  // one after another
      plans.report(report);
    }
    if (!launched_.empty()) watchdog.started(launched_.front().number);
  }
}

void LlmWorker::place(const StepPlan& plan, std::span<const Tensor> arrived) {
  const bool leader = group_.rank() == 0;
  check(!leader || arrived.size() == plan.placements.size(), "a plan places ", plan.placements.size(),
        " slices, ", arrived.size(), " are here");
  if (plan.placements.empty()) return;
  const ProfilerRange range(backend_, "uhd_step.place");
  for (size_t i = 0; i < plan.placements.size(); ++i) {
    const std::vector<int32_t>& rows = plan.placements[i].rows;
    const Shape shape{static_cast<int64_t>(rows.size()), hidden_};
    const Tensor values = leader ? arrived[i] : incoming_.as(backend_.activation_dtype(), shape);
    if (group_.size() > 1) group_.broadcast(values, 0);
    store_.place(values, rows, *workspace_);
  }
}

}  // namespace uhd
