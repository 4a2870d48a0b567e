// Both resamplers share this: learned queries, the projection of the features, one multi-head
// cross-attention, and the way out.
#pragma once

#include "kernels/workspace.h"
#include "model/config.h"
#include "model/weights/loader.h"

namespace uhd {

// E resampler width, Q queries, H hidden of the language model, W of the vision tower.
class CrossAttention {
 public:
  CrossAttention(const ModelConfig& model, const Checkpoint& checkpoint, Backend& backend,
                 WeightFormat format);

  int64_t width() const { return config_.width; }
  int64_t queries() const { return config_.queries; }

  // out [P, E] = ln_kv(kv_proj(features [P, W])).
  void project(Tensor out, Tensor features);
  // out [S·Q, H]: segment s of `q_offsets` (rows of the repeated queries) attends the rows of key and value
  // [K, E] that `kv_offsets` gives it. `repeats` is S; offsets are ragged as in packed_attention.
  struct Segments {
    Tensor q_offsets, kv_offsets;
    int max_q = 0, max_kv = 0;
  };
  void attend(Tensor out, Tensor key, Tensor value, int64_t repeats, const Segments& segments,
              Workspace& workspace);
  // Makes what the first products of so many rows would make; `out` has a row for each query, key and value
  // are as in attend.
  void prepare_projection(Tensor out, Tensor features);
  void prepare_keys(Tensor key, Tensor value, Workspace& workspace);
  void prepare_queries(Tensor out, Workspace& workspace);

 private:
  struct Norm {
    DeviceTensor weight, bias;
  };
  DeviceTensor project_queries(const std::string& prefix, Loader& loader) const;

  Backend& backend_;
  ResamplerConfig config_;
  Weight kv_proj_;  // [E, W]
  Norm ln_kv_, ln_post_;
  DeviceTensor query_;  // [Q, E]: ln_q, position and the query projection applied once
  Weight key_, value_, out_;
  DeviceTensor key_bias_, value_bias_, out_bias_;
  Weight proj_;  // [H, E]
};

}  // namespace uhd
