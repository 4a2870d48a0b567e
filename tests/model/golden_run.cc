#include "tests/model/golden_run.h"

#include <algorithm>
#include <exception>
#include <thread>

#include "cluster/host/local_communicator.h"
#include "cluster/host/staged_communicator.h"
#include "model/language/llama.h"
#include "model/language/sampler.h"
#include "model/language/step_memory.h"
#include "model/prompt.h"

namespace uhd {
namespace {

// Counts the calls that a model makes to its group.
class CountingCommunicator : public Communicator {
 public:
  explicit CountingCommunicator(Communicator& inner) : inner_(inner) {}
  int rank() const override { return inner_.rank(); }
  int size() const override { return inner_.size(); }
  void all_reduce(Tensor x) override {
    ++all_reduces;
    inner_.all_reduce(x);
  }
  void all_gather(Tensor out, Tensor x) override { inner_.all_gather(out, x); }
  void broadcast(Tensor x, int root) override { inner_.broadcast(x, root); }
  void send(Tensor x, int peer) override { inner_.send(x, peer); }
  void receive(Tensor x, int peer) override { inner_.receive(x, peer); }
  void barrier() override { inner_.barrier(); }
  size_t all_reduces = 0;

 private:
  Communicator& inner_;
};

// One sequence's place in the cache: pages in falling order.
struct Placement {
  int page_size;
  int pages;
  int32_t page(int index) const { return pages - 1 - index; }
  int32_t slot(int position) const { return page(position / page_size) * page_size + position % page_size; }
};

class Rank {
 public:
  Rank(const GoldenModel& model, const EmbeddedPrompt& prompt, const RunOptions& options, Communicator& group,
       RunResult& result)
      : prompt_(prompt),
        options_(options),
        result_(result),
        backend_(options.codes
                     ? make_backend({.threads = 1, .quantize_activations = true, .compute = options.format})
                     : test_backend(options.format)),
        staged_(backend_->host_memory()
                    ? nullptr
                    : make_staged_communicator(*backend_, std::make_unique<CountingCommunicator>(group))),
        group_(staged_ ? *staged_ : group),
        context_(options.context > 0 ? options.context
                                     : static_cast<int>(prompt.ids.size()) + options.steps + 1),
        llama_(model.config, model.checkpoint, *backend_, group_, options.matrices.value_or(options.format),
               context_),
        placement_{options.page_size, (context_ + options.page_size - 1) / options.page_size},
        cache_(*backend_, model.config.language.layers, llama_.shard().kv_heads,
               model.config.language.head_dim, placement_.pages, options.page_size,
               options.format == WeightFormat::f32 ? DType::f32 : DType::bf16),
        sampler_(*backend_, group_, llama_.shard(), model.config.language.vocabulary,
                 std::max(1, options.tail)),
        workspace_(*backend_, step_bytes(llama_.config(), llama_.shard(),
                                         {.max_tokens = options.chunk,
                                          .max_sequences = std::max(1, options.tail),
                                          .max_context = context_,
                                          .page_size = options.page_size},
                                         backend_->activation_dtype())) {
    const auto rows = static_cast<int64_t>(prompt.visual.size()) / model.config.language.hidden;
    if (rows > 0) {
      visual_memory_ = backend_->allocate(prompt.visual.size() * sizeof(float));
      visual_ = visual_memory_.as(backend_->activation_dtype(), {rows, model.config.language.hidden});
      set_floats(*backend_, visual_, prompt.visual);
    }
    if (leader() && options.stages) {
      llama_.observe([this](const std::string& stage, Tensor rows_seen) {
        auto& seen = result_.stages[stage];
        const auto values = host_floats(*backend_, rows_seen);
        seen.insert(seen.end(), values.begin(), values.end());
      });
    }
  }

  void run() {
    int32_t chosen = prefill();
    result_stop_stages();
    int position = static_cast<int>(prompt_.ids.size());
    for (int step = 1; step < options_.steps; ++step, ++position) {
      const size_t at = static_cast<size_t>(step) - 1;
      const int32_t fed = at < options_.forced.size() ? options_.forced[at] : chosen;
      ForwardInput input = input_for(position, {&fed, 1});
      input.sample_at = {0};
      chosen = forward(input).back();
    }
  }

 private:
  bool leader() const { return group_.rank() == 0; }
  void result_stop_stages() { llama_.observe({}); }

  ForwardInput input_for(int first, std::span<const int32_t> ids) const {
    ForwardInput input;
    const auto count = static_cast<int>(ids.size());
    for (int i = 0; i < count; ++i) {
      input.ids.push_back(ids[static_cast<size_t>(i)]);
      input.positions.push_back(first + i);
      input.slots.push_back(placement_.slot(first + i));
    }
    input.q_offsets = {0, count};
    input.kv_lengths = {first + count};
    input.max_pages = placement_.pages;
    for (int p = 0; p < placement_.pages; ++p) input.page_table.push_back(placement_.page(p));
    return input;
  }

  int32_t prefill() {
    const auto length = static_cast<int>(prompt_.ids.size());
    int32_t row = 0;
    int32_t chosen = -1;
    for (int first = 0; first < length; first += options_.chunk) {
      const int count = std::min(options_.chunk, length - first);
      ForwardInput input = input_for(
          first, std::span(prompt_.ids).subspan(static_cast<size_t>(first), static_cast<size_t>(count)));
      for (int i = 0; i < count; ++i) {
        if (input.ids[static_cast<size_t>(i)] == kVisualToken) {
          input.visual_at.push_back(i);
          input.visual_rows.push_back(row++);
        }
        if (first + i >= length - options_.tail) input.sample_at.push_back(i);
      }
      const auto ids = forward(input);
      if (!ids.empty()) chosen = ids.back();
    }
    return chosen;
  }

  // The greedy ids of the sampled rows, the same on every rank; logits go to the result.
  std::vector<int32_t> forward(const ForwardInput& input) {
    const Workspace::Scope scope(workspace_);
    const size_t before = group_.all_reduces;
    const Tensor logits = llama_.forward(input, visual_, cache_, workspace_);
    if (leader()) result_.all_reduces = group_.all_reduces - before;
    if (logits.empty()) return {};
    const LanguageShard& shard = llama_.shard();
    const Tensor all = workspace_.take(DType::f32, {shard.size, logits.rows(), shard.ids});
    group_.all_gather(all, logits);
    const auto tokens = sampler_.sample(logits, TokenChoice::greedy, {}, workspace_);
    std::vector<int32_t> ids;
    for (const SampledToken& token : tokens) ids.push_back(token.id);
    if (leader()) keep(host_floats(*backend_, all), logits.rows(), ids.back(), input.positions.back());
    return ids;
  }

  // all: the logits of the shards, [ranks, rows, ids of a shard].
  void keep(std::span<const float> all, int64_t rows, int32_t chosen, int position) {
    const int64_t ids = llama_.shard().ids;
    const auto vocabulary = static_cast<size_t>(llama_.config().vocabulary);
    std::vector<float> last;
    for (int64_t row = 0; row < rows; ++row) {
      last.clear();
      for (int64_t rank = 0; rank < llama_.shard().size; ++rank) {
        const float* part = all.data() + (rank * rows + row) * ids;
        last.insert(last.end(), part, part + ids);
      }
      last.resize(vocabulary);
      if (position < static_cast<int>(prompt_.ids.size())) {
        result_.tail_logits.insert(result_.tail_logits.end(), last.begin(), last.end());
      }
    }
    if (position + 1 >= static_cast<int>(prompt_.ids.size())) {
      result_.ids.push_back(chosen);
      result_.logits.push_back(last);
    }
  }

  const EmbeddedPrompt& prompt_;
  const RunOptions& options_;
  RunResult& result_;
  std::unique_ptr<Backend> backend_;
  std::unique_ptr<Communicator> staged_;  // on device memory
  CountingCommunicator group_;
  int context_;
  Llama llama_;
  Placement placement_;
  KvCache cache_;
  Sampler sampler_;
  Workspace workspace_;
  DeviceBuffer visual_memory_;
  Tensor visual_;
};

}  // namespace

RunResult run_language_model(const GoldenModel& model, const EmbeddedPrompt& prompt,
                             const RunOptions& options) {
  RunResult result;
  auto communicators = make_local_communicators(options.ranks);
  std::vector<std::exception_ptr> errors(communicators.size());
  {
    std::vector<std::jthread> threads;
    for (size_t i = 0; i < communicators.size(); ++i) {
      threads.emplace_back([&, i] {
        try {
          Rank(model, prompt, options, *communicators[i], result).run();
        } catch (...) {
          errors[i] = std::current_exception();
          communicators[i].reset();  // so that the others do not wait
        }
      });
    }
  }
  for (const auto& error : errors) {
    if (error) std::rethrow_exception(error);
  }
  return result;
}

}  // namespace uhd
