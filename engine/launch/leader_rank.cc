#include "engine/launch/leader_rank.h"

#include "engine/slices/local_encoders.h"
#include "engine/slices/remote_encoders.h"
#include "model/text/end_tokens.h"

namespace uhd {

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
    parts.encoders = std::make_unique<LocalEncoders>(std::move(rank.slices.encode), *parts.buffers,
                                                     options.encoders.batch_patches, config.slicing.patch);
  }
  parts.visual = std::make_unique<VisualFlow>(parts.sizes.visual_rows, *parts.encoders, *parts.metrics);
}

}  // namespace uhd
