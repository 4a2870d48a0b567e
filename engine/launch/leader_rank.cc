#include "engine/launch/leader_rank.h"

#include "base/error.h"
#include "base/hash.h"
#include "base/host_memory.h"
#include "base/version.h"
#include "engine/launch/served_text.h"
#include "engine/slices/kept_slices.h"
#include "engine/slices/local_encoders.h"
#include "engine/slices/remote_encoders.h"
#include "engine/slices/row_sizes.h"
#include "model/text/end_tokens.h"

namespace uhd {

namespace {

// Equal on servers that give equal answers to one seed: the same program, model, types and kind of device.
std::string fingerprint_of(const std::string& identity, const EngineOptions& options) {
  const std::string rest = message(version(), ' ', options.dtype, ' ', options.vision_dtype, ' ',
                                   options.quantize, ' ', options.image_order, ' ', options.backend.kind);
  return "fp_" + fingerprint({bytes_of(identity), bytes_of(rest)}).hex().substr(0, 12);
}

}  // namespace

void make_leader(LeaderParts& parts, const SharedFiles& files, const EngineOptions& options,
                 const ClusterOptions& cluster, LlmRank rank, std::unique_ptr<ControlServer> server) {
  const ModelConfig& config = files->config;
  parts.options = options;
  parts.step_deadline_s = cluster.step_deadline_s;
  parts.config = config;
  parts.identity = files->identity;
  parts.sizes = rank.worker->sizes();
  ServedText text =
      read_served_text(config, options, {parts.sizes.step.max_context, parts.sizes.visual_rows});
  parts.info = std::move(text.info);
  parts.tokenizer = std::move(text.tokenizer);
  parts.intake = std::move(text.intake);
  add_end_tokens(options.model_path, *parts.tokenizer, parts.config.language);
  warn_of_tokens_beyond(*parts.tokenizer, parts.config.language);
  parts.grammars =
      std::make_unique<Grammars>(parts.tokenizer, config.language.vocabulary, parts.config.language.eos_ids,
                                 GrammarLimits{options.grammar_seconds, options.grammar_cache_bytes});
  parts.info.fingerprint = fingerprint_of(parts.identity, options);
  parts.metrics = std::make_unique<Metrics>(parts.info.id);
  parts.metrics->llm_ranks(cluster.tensor_parallel);
  give_back_what_start_took();  // the tokenizer's JSON
  if (!options.trace.dir.empty()) {
    parts.tracer = std::make_unique<Tracer>(options.trace, rank.group->size() - 1);
  }
  parts.backend = std::move(rank.device.backend);
  parts.transport = std::move(rank.device.transport);
  parts.collectives = std::move(rank.collectives);
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
    const int64_t patches = batch_patches(options, parts.buffers->backend().host_memory());
    parts.encoders = std::make_unique<LocalEncoders>(std::move(rank.slices.encode), *parts.buffers, patches);
  }
  if (options.visual_cache_host_bytes > 0) {
    parts.encoders = std::make_unique<KeptSlices>(std::move(parts.encoders), *parts.buffers,
                                                  options.visual_cache_host_bytes, *parts.metrics);
  }
  parts.visual = std::make_unique<VisualFlow>(parts.sizes.visual_rows, *parts.encoders, *parts.metrics);
}

}  // namespace uhd
