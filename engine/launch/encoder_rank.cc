#include "engine/launch/encoder_rank.h"

#include "engine/launch/memory_book.h"
#include "engine/launch/model_facts.h"
#include "engine/launch/slice_encoder.h"
#include "engine/slices/encoder_worker.h"

namespace uhd {

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
                       {options.encode.batch_patches, files.config.slicing.patch});
  worker.run(ended);
}

}  // namespace uhd
