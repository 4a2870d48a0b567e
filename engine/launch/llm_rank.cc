#include "engine/launch/llm_rank.h"

#include <algorithm>

#include "base/bytes_text.h"
#include "base/host_memory.h"
#include "base/log.h"
#include "cluster/agreement.h"
#include "cluster/launch/device_group.h"
#include "cluster/wait_notice.h"
#include "engine/launch/memory_book.h"
#include "engine/launch/model_facts.h"
#include "engine/slices/row_sizes.h"

namespace uhd {

namespace {

int64_t pages_of_context(int context, int page_size) { return (context + page_size - 1) / page_size; }

int64_t bytes_of_page(const ModelFiles& files, const EngineOptions& options, const LanguageShard& shard) {
  const LanguageConfig& language = files.config.language;
  return static_cast<int64_t>(KvCache::bytes_per_page(language.layers, shard.kv_heads, language.head_dim,
                                                      options.page_size, files.kv_dtype()));
}

// The smallest number that any rank of the group names.
int agreed_minimum(Backend& backend, Communicator& group, int32_t mine) {
  if (group.size() == 1) return mine;
  const DeviceBuffer memory = backend.allocate(sizeof(int32_t) * static_cast<size_t>(group.size() + 1));
  const Tensor all = memory.as(DType::i32, {group.size()});
  const Tensor own(static_cast<int32_t*>(memory.data()) + group.size(), DType::i32, {1});
  backend.upload(own, Tensor::of(&mine, {1}));
  group.all_gather(all, own);
  std::vector<int32_t> values(static_cast<size_t>(group.size()));
  backend.download(Tensor::of(values.data(), {group.size()}), all);
  return *std::min_element(values.begin(), values.end());
}

// An LLM rank holds these in memory of its own.
struct LlmParts {
  std::unique_ptr<LlmWorker> worker;
  SliceEncoder slices;
  std::unique_ptr<RowBuffers> buffers;
};

// 0: sums of ranks need no fixed parts.
int parts_of_sums(const ModelFiles& files, const EngineOptions& options, const Backend& backend,
                  const Communicator& group) {
  if (!options.deterministic) return 0;
  require(backend.host_memory(), "engine.deterministic is implemented for the CPU only");
  return virtual_shards(files.config.language, group.size());
}

LlmParts make_parts(const ModelFiles& files, const EngineOptions& options, WorkerSizes sizes, bool encodes,
                    Backend& backend, Communicator& group, MemoryBook& memory) {
  LlmParts parts;
  backend.expect_rows(std::max(sizes.step.max_tokens, sizes.step.max_sequences));
  auto llama = memory.take("language model", [&] {
    return std::make_unique<Llama>(files.config, files.checkpoint, backend, group, files.matrices,
                                   sizes.step.max_context, parts_of_sums(files, options, backend, group));
  });
  if (encodes && files.config.vision) parts.slices = make_slice_encoder(files, options, backend, memory);
  // On the host a step and a part of a pass never run at once.
  const auto shared = backend.host_memory() ? parts.slices.workspace : nullptr;
  parts.worker = memory.take("steps and visual rows", [&] {
    return std::make_unique<LlmWorker>(std::move(llama), backend, group, files.config.language.vocabulary,
                                       sizes, shared);
  });
  take_scratch(memory, backend);
  if (group.rank() == 0 && files.config.vision) {
    parts.buffers =
        memory.take("rows on their way", [&] { return make_row_buffers(files, options, backend, encodes); });
  }
  return parts;
}

// As many pages as the ranks of the group all have memory for: it is their last use of it.
int agreed_pages(const ModelFiles& files, const EngineOptions& options, const StepLimits& step,
                 Backend& backend, Communicator& group, const MemoryBook& memory) {
  const LanguageShard shard = shard_of(files.config.language, group.rank(), group.size());
  const int64_t page_bytes = bytes_of_page(files, options, shard);
  const int64_t bytes = memory.for_pages(options, shard.size);
  // Never more than all sequences at full length would use.
  const int64_t most = pages_of_context(step.max_context, step.page_size) * options.max_running;
  const int pages = agreed_minimum(
      backend, group, static_cast<int32_t>(std::min({bytes / page_bytes, most, int64_t{1} << 24})));
  require(pages > 0, "the KV memory does not hold one page: a page of ", step.page_size, " tokens takes ",
          bytes_text(page_bytes), ", for all of them there are ", bytes_text(bytes), ". ", memory.summary());
  const int64_t held = int64_t{pages} * step.page_size;
  require(options.context_length <= held, "engine.context_length=", options.context_length,
          " needs more KV memory: it holds ", held, " tokens. ", memory.summary());
  return pages;
}

// Where the options contradict themselves or the model, this is an Error.
WorkerSizes sizes_of(const ModelFiles& files, const EngineOptions& options, const Backend& backend) {
  const LanguageConfig& language = files.config.language;
  require(options.max_running > 0 && options.max_waiting >= 0 && options.page_size > 0 &&
              options.token_budget > 0,
          "engine.max_running, engine.page_size and engine.token_budget must be positive");
  require(options.context_length >= 0 && options.context_length <= language.context,
          "engine.context_length is ", options.context_length, ", but the model holds ", language.context);
  const int context = options.context_length > 0 ? options.context_length : language.context;
  WorkerSizes sizes;
  sizes.step = {options.token_budget, options.max_running, context, options.page_size};
  const auto element = static_cast<int64_t>(size_of(backend.activation_dtype()));
  sizes.visual_rows = static_cast<int>(visual_store_rows(files.config, options, element));
  sizes.max_piece_rows = max_piece_rows(files.config, options.image);
  sizes.kv = files.kv_dtype();
  sizes.overlap = options.overlap;
  return sizes;
}

}  // namespace

LlmRank make_llm_rank(const ModelFiles& files, const EngineOptions& options, const ClusterOptions& cluster,
                      RankDevice device, std::unique_ptr<Communicator> host_group, bool encodes) {
  const WorkerSizes sizes = sizes_of(files, options, *device.backend);
  {
    const WaitNotice notice("the other LLM ranks to open the model");
    agree_on(llm_facts(files, options, *device.backend), *host_group);
  }
  LlmRank rank;
  rank.device = std::move(device);
  Backend& backend = *rank.device.backend;
  rank.group = device_group(backend, rank.device.transport.get(), std::move(host_group), cluster);
  if (backend.host_memory() && rank.group->size() > 1) {
    rank.collectives = std::make_shared<CollectiveTime>();
    rank.group = std::make_unique<TimedCommunicator>(std::move(rank.group), rank.collectives);
  }
  Communicator& group = *rank.group;
  const auto build = [&](Backend& on, MemoryBook& memory) {
    return make_parts(files, options, sizes, encodes, on, group, memory);
  };
  const auto agree = [&](const MemoryBook& memory) {
    return agreed_pages(files, options, sizes.step, backend, group, memory);
  };
  const auto take_pages = [&](const LlmParts& parts, int pages, MemoryBook& memory) {
    memory.take(message("KV pages, ", int64_t{pages} * options.page_size, " tokens"), [&] {
      parts.worker->take_pages(pages);
      return pages;
    });
  };
  MemoryBook memory(backend);
  int pages = 0;
  if (const std::unique_ptr<Backend> rehearsal = backend.rehearsal()) {
    MemoryBook planned(*rehearsal);
    const LlmParts parts = build(*rehearsal, planned);
    pages = agree(planned);
    take_pages(parts, pages, planned);
    planned.reserve(backend);
  }
  LlmParts parts = build(backend, memory);
  if (pages == 0) pages = agree(memory);
  take_pages(parts, pages, memory);
  files.drop_pages();
  give_back_what_start_took();
  memory.tell(message("LLM rank ", group.rank()));
  rank.worker = std::move(parts.worker);
  rank.slices = std::move(parts.slices);
  rank.buffers = std::move(parts.buffers);
  if (rank.slices.warm_up) rank.slices.warm_up(*rank.buffers);
  // The other ranks wait for that here: a step in which they waited would be overdue.
  if (!backend.host_memory()) agreed_minimum(backend, group, 0);
  return rank;
}

// An idle leader sends a probe every third of ready_within_s; what else it may be busy with is a slice to
// encode.
void follow_leader(LlmRank& rank, PlanChannel& plans, const EngineOptions& options,
                   const ClusterOptions& cluster, const std::function<void(uint64_t step)>& on_overdue) {
  const double silence_s = options.ready_within_s + cluster.job_deadline_s + cluster.step_deadline_s;
  Watchdog watchdog(from_seconds(cluster.step_deadline_s), [&](uint64_t step) {
    log_error("a step did not end in time", "step", step, "seconds", cluster.step_deadline_s);
    if (on_overdue) on_overdue(step);
  });
  rank.worker->follow(plans, watchdog, from_seconds(silence_s));
}

}  // namespace uhd
