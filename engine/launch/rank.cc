#include "engine/launch/rank.h"

#include <algorithm>

#include "base/bytes_text.h"
#include "base/log.h"
#include "cluster/agreement.h"
#include "cluster/launch/device_group.h"
#include "cluster/wait_notice.h"
#include "engine/launch/memory_book.h"
#include "engine/launch/model_facts.h"
#include "engine/slices/local_encoders.h"
#include "engine/slices/remote_encoders.h"
#include "engine/slices/row_sizes.h"
#include "model/text/end_tokens.h"
#include "model/vision/slice_plan.h"

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

// What an LLM rank's own memory holds.
struct LlmParts {
  std::unique_ptr<LlmWorker> worker;
  EncodeSlices encode;
  std::unique_ptr<RowBuffers> buffers;
};

// Of a rank that encodes: what its passes write, too.
std::unique_ptr<RowBuffers> make_row_buffers(const ModelFiles& files, const EngineOptions& options,
                                             Backend& backend, bool encodes) {
  RowSizes sizes;
  sizes.most_rows = max_piece_rows(files.config, options.image);
  sizes.width = files.config.language.hidden;
  sizes.buffers = fair_buffers(static_cast<size_t>(sizes.most_rows) * static_cast<size_t>(sizes.width) *
                               size_of(backend.activation_dtype()));
  if (encodes) {
    // Without queries a slice has at most a row a patch.
    const int64_t patches = std::max<int64_t>(options.encoders.batch_patches, sizes.most_rows);
    sizes.batch_rows = int64_t{sizes.buffers} * sizes.most_rows;
    if (files.config.projector.queries == 0) sizes.batch_rows = std::min(sizes.batch_rows, patches);
  }
  return std::make_unique<RowBuffers>(backend, sizes);
}

// Of the products of all that was packed.
void take_scratch(MemoryBook& memory, Backend& backend) {
  memory.take("scratch of products", [&] {
    backend.take_scratch();
    return true;
  });
}

LlmParts make_parts(const ModelFiles& files, const EngineOptions& options, WorkerSizes sizes, bool encodes,
                    Backend& backend, Communicator& group, MemoryBook& memory) {
  LlmParts parts;
  backend.expect_rows(std::max(sizes.step.max_tokens, sizes.step.max_sequences));
  auto llama = memory.take("language model", [&] {
    return std::make_unique<Llama>(files.config, files.checkpoint, backend, group, files.matrices,
                                   sizes.step.max_context);
  });
  if (encodes && files.config.vision) {
    parts.encode =
        memory.take("vision tower", [&] { return make_slice_encoder(files, options, backend).encode; });
  }
  parts.worker = memory.take("steps and visual rows", [&] {
    return std::make_unique<LlmWorker>(std::move(llama), backend, group, files.config.language.vocabulary,
                                       sizes);
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

}  // namespace

RankDevice open_device(const ModelFiles& files, const EngineOptions& options) {
  RankDevice device;
  device.backend = make_rank_backend(files, options);
  device.transport = open_device_transport(*device.backend);
  return device;
}

LlmRank make_llm_rank(const ModelFiles& files, const EngineOptions& options, const ClusterOptions& cluster,
                      RankDevice device, std::unique_ptr<Communicator> host_group, bool encodes) {
  const LanguageConfig& language = files.config.language;
  require(options.max_running > 0 && options.max_waiting >= 0 && options.page_size > 0 &&
              options.token_budget > 0,
          "engine.max_running, engine.page_size and engine.token_budget must be positive");
  require(options.context_length >= 0 && options.context_length <= language.context,
          "engine.context_length is ", options.context_length, ", but the model holds ", language.context);
  const int context = options.context_length > 0 ? options.context_length : language.context;
  {
    const WaitNotice notice("the other LLM ranks to open the model");
    agree_on(llm_facts(files, options, *device.backend), *host_group);
  }
  LlmRank rank;
  rank.device = std::move(device);
  Backend& backend = *rank.device.backend;
  rank.group = device_group(backend, rank.device.transport.get(), std::move(host_group), cluster);
  Communicator& group = *rank.group;
  WorkerSizes sizes;
  sizes.step = {options.token_budget, options.max_running, context, options.page_size};
  const auto element = static_cast<int64_t>(size_of(backend.activation_dtype()));
  sizes.visual_rows = static_cast<int>(visual_store_rows(files.config, options, element));
  sizes.max_piece_rows = max_piece_rows(files.config, options.image);
  sizes.kv = files.kv_dtype();
  sizes.overlap = options.overlap;
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
  memory.tell(message("LLM rank ", group.rank()));
  rank.worker = std::move(parts.worker);
  rank.encode = std::move(parts.encode);
  rank.buffers = std::move(parts.buffers);
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

SliceEncoder make_slice_encoder(const ModelFiles& files, const EngineOptions& options, Backend& backend) {
  EncoderLimits limits;
  const int64_t queries = int64_t{limits.max_slices} * files.config.projector.queries;
  limits.max_patches = std::max(options.encoders.batch_patches, options.image.limits.max_piece_patches);
  backend.expect_rows(std::max(limits.max_patches + limits.max_slices, queries));  // a class token each
  auto encoder = std::make_shared<VisionEncoder>(files.config, files.checkpoint, files.vision_checkpoint(),
                                                 backend, tower_format(files, options, backend), limits);
  SliceEncoder slices;
  slices.encode = [encoder, &backend](std::span<const Slice* const> batch, Tensor rows) {
    const ProfilerRange range(backend, "uhd_encode");
    std::vector<SliceView> views;
    for (const Slice* slice : batch) views.push_back({slice->width, slice->height, slice->pixels});
    encoder->encode(rows, views);
  };
  slices.rows_of = [encoder](const Slice& slice) {
    return static_cast<int>(encoder->tokens_of(slice.width, slice.height));
  };
  return slices;
}

void make_leader(LeaderParts& parts, const SharedFiles& files, const EngineOptions& options,
                 const ClusterOptions& cluster, LlmRank rank, std::unique_ptr<ControlServer> server) {
  const ModelConfig& config = files->config;
  parts.options = options;
  parts.step_deadline_s = cluster.step_deadline_s;
  parts.config = config;
  parts.identity = files->identity;
  parts.sizes = rank.worker->sizes();
  parts.info = {options.model_name.empty() ? config.name : options.model_name, name_of(config.family),
                config.vision.has_value(), parts.sizes.step.max_context, config.language.vocabulary};
  parts.tokenizer = load_tokenizer(options.model_path);
  add_end_tokens(options.model_path, *parts.tokenizer, parts.config.language);
  warn_of_tokens_beyond(*parts.tokenizer, parts.config.language);
  parts.intake =
      std::make_unique<Intake>(config, parts.tokenizer, load_chat_template(options.model_path), options.image,
                               IntakeLimits{parts.sizes.step.max_context, parts.sizes.visual_rows});
  parts.info.max_text_bytes = parts.intake->max_text_bytes();
  parts.metrics = std::make_unique<Metrics>(parts.info.id);
  parts.backend = std::move(rank.device.backend);
  parts.transport = std::move(rank.device.transport);
  parts.group = std::move(rank.group);
  parts.worker = std::move(rank.worker);
  parts.server = std::move(server);
  if (!config.vision) return;
  parts.buffers = std::move(rank.buffers);
  if (parts.server != nullptr) {
    EncoderPoolLimits limits;
    limits.retries = options.encoders.retries;
    limits.no_encoder_wait = from_seconds(options.encoders.wait_s);
    limits.liveness.lost_after = from_seconds(cluster.lost_after_s);
    limits.liveness.job_deadline = from_seconds(cluster.job_deadline_s);
    parts.encoders = std::make_unique<RemoteEncoders>(*parts.server, *parts.buffers, limits, *parts.metrics);
  } else {
    parts.encoders = std::make_unique<LocalEncoders>(std::move(rank.encode), *parts.buffers,
                                                     options.encoders.batch_patches, config.slicing.patch);
  }
  parts.visual = std::make_unique<VisualFlow>(parts.sizes.visual_rows, *parts.encoders, *parts.metrics);
}

Hello encoder_hello(const ModelFiles& files, const EngineOptions& options, const Backend& backend) {
  constexpr uint32_t kSlicesAtOnce = 16;
  Hello hello;
  hello.facts = encoder_facts(files, options);
  hello.backend = backend.description();
  hello.capacity = kSlicesAtOnce;
  return hello;
}

void run_encoder(const ModelFiles& files, const EngineOptions& options, Backend& backend,
                 ControlClient& leader, const std::function<bool()>& ended) {
  require(files.config.vision.has_value(), "this model has no vision tower: set encoders.count to 0");
  MemoryBook memory(backend);
  struct Parts {
    SliceEncoder slices;
    std::unique_ptr<RowBuffers> buffers;
  };
  const auto build = [&](Backend& on, MemoryBook& plan) {
    Parts parts;
    parts.slices = plan.take("vision tower", [&] { return make_slice_encoder(files, options, on); });
    take_scratch(plan, on);
    parts.buffers =
        plan.take("rows on their way", [&] { return make_row_buffers(files, options, on, true); });
    return parts;
  };
  if (const std::unique_ptr<Backend> rehearsal = backend.rehearsal()) {
    MemoryBook planned(*rehearsal);
    build(*rehearsal, planned);
    planned.reserve(backend);
  }
  const Parts parts = build(backend, memory);
  memory.tell("an encoder");
  EncoderWorker worker(leader, parts.slices.encode, parts.slices.rows_of, *parts.buffers,
                       {options.encoders.batch_patches, files.config.slicing.patch});
  worker.run(ended);
}

}  // namespace uhd
