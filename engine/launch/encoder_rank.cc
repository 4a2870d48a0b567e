#include "engine/launch/encoder_rank.h"

#include "base/host_memory.h"
#include "engine/launch/memory_book.h"
#include "engine/launch/model_facts.h"
#include "engine/slices/encoder_worker.h"
#include "engine/slices/row_sizes.h"

namespace uhd {

Hello encoder_hello(const ModelFiles& files, const EngineOptions& options, const Backend& backend) {
  constexpr uint32_t kSlicesAtOnce = 16;
  Hello hello;
  hello.facts = encoder_facts(files, options);
  hello.backend = backend.description();
  hello.capacity = kSlicesAtOnce;
  return hello;
}

EncoderRank make_encoder_rank(const ModelFiles& files, const EngineOptions& options, Backend& backend) {
  require(files.config.vision.has_value(), "this model has no vision tower: set encoders.count to 0");
  MemoryBook memory(backend);
  const auto build = [&](Backend& on, MemoryBook& plan) {
    EncoderRank rank;
    rank.slices = make_slice_encoder(files, options, on, plan);
    take_scratch(plan, on);
    rank.buffers = plan.take("rows on their way", [&] { return make_row_buffers(files, options, on, true); });
    return rank;
  };
  if (const std::unique_ptr<Backend> rehearsal = backend.rehearsal()) {
    MemoryBook planned(*rehearsal);
    build(*rehearsal, planned);
    planned.reserve(backend);
  }
  EncoderRank rank = build(backend, memory);
  files.drop_pages();
  give_back_what_start_took();
  memory.tell("an encoder");
  rank.slices.warm_up(*rank.buffers);
  return rank;
}

void run_encoder(EncoderRank& rank, const ModelFiles& files, const EngineOptions& options,
                 ControlClient& leader, const std::function<bool()>& ended) {
  EncoderWorker worker(
      leader, rank.slices.encode, rank.slices.rows_of, *rank.buffers,
      {batch_patches(options, rank.buffers->backend().host_memory()), files.config.slicing.patch});
  worker.run(ended);
}

}  // namespace uhd
