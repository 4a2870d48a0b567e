#include "engine/llm_worker.h"

namespace uhd {

namespace {

size_t workspace_bytes(const Llama& llama, const Sampler& sampler, const WorkerSizes& sizes) {
  const size_t placing = (static_cast<size_t>(sizes.max_piece_rows) * sizeof(int32_t) + 63) / 64 * 64;
  return llama.workspace_bytes(sizes.step) + sampler.workspace_bytes(sizes.step.max_sequences) + placing;
}

}  // namespace

LlmWorker::LlmWorker(std::unique_ptr<Llama> llama, Backend& backend, Communicator& group, int vocabulary,
                     const WorkerSizes& sizes)
    : backend_(backend),
      group_(group),
      llama_(std::move(llama)),
      sampler_(backend, group, llama_->shard(), vocabulary),
      cache_(backend, llama_->config().layers, llama_->shard().kv_heads, llama_->config().head_dim,
             sizes.pages + 1, sizes.step.page_size, sizes.kv),
      store_(backend, sizes.visual_rows, llama_->config().hidden),
      workspace_(backend, workspace_bytes(*llama_, sampler_, sizes)),
      hidden_(llama_->config().hidden) {
  if (sizes.max_piece_rows > 0 && group.rank() > 0) {
    incoming_ = backend.allocate(static_cast<size_t>(sizes.max_piece_rows) * static_cast<size_t>(hidden_) *
                                 size_of(backend.activation_dtype()));
  }
}

std::vector<SampledToken> LlmWorker::run(const StepPlan& plan, std::span<const Tensor> pieces,
                                         std::span<const SampleRow> rows) {
  place(plan, pieces);
  if (plan.input.ids.empty()) return {};
  const Workspace::Scope scope(workspace_);
  const Tensor logits = llama_->forward(plan.input, store_.rows(), cache_, workspace_);
  if (logits.empty()) return {};
  return sampler_.sample(logits, plan.greedy, rows, workspace_);
}

void LlmWorker::follow(PlanChannel& plans) {
  StepPlan plan;
  for (;;) {
    const std::optional<std::vector<std::byte>> bytes = plans.receive(std::chrono::seconds(1));
    if (!bytes) continue;
    Reader reader(*bytes);
    reader(plan);
    if (plan.kind == StepKind::stop) return;
    run(plan, {}, {});
  }
}

void LlmWorker::place(const StepPlan& plan, std::span<const Tensor> pieces) {
  const bool leader = group_.rank() == 0;
  check(!leader || pieces.size() == plan.placements.size(), "a plan places ", plan.placements.size(),
        " slices, ", pieces.size(), " are here");
  for (size_t i = 0; i < plan.placements.size(); ++i) {
    const std::vector<int32_t>& rows = plan.placements[i].rows;
    const Shape shape{static_cast<int64_t>(rows.size()), hidden_};
    const Tensor piece = leader ? pieces[i] : incoming_.as(backend_.activation_dtype(), shape);
    if (group_.size() > 1) group_.broadcast(piece, 0);
    store_.place(piece, rows, workspace_);
  }
}

}  // namespace uhd
