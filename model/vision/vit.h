// The layers of a ViT, which the vision towers share: attention and an MLP, each behind a layer norm, over
// slices of any sizes and from any requests. Slices are packed without padding; each attends only itself.
#pragma once

#include <string>
#include <vector>

#include "kernels/workspace.h"
#include "model/config.h"
#include "model/weights/loader.h"

namespace uhd {

// A layer norm's parameters, f32 [W] each.
struct LayerNorm {
  DeviceTensor weight, bias;
};
LayerNorm load_layer_norm(Loader& loader, const std::string& name);

// Not thread-safe: belongs to the thread that encodes. T rows of all slices together, W hidden, I of the MLP.
class Vit {
 public:
  // Loads the layers under `prefix` + "encoder.layers.", as many as the config says run. In int8 their
  // products make codes of the activations too. The backend is borrowed; the loader is not needed afterwards.
  Vit(const VisionConfig& config, const std::string& prefix, Loader& loader, Backend& backend,
      WeightFormat format);

  int layers() const { return static_cast<int>(layers_.size()); }

  // A pass keeps these between its layers, which read and write `hidden`. Slice s owns rows offsets[s] ..
  // offsets[s + 1].
  struct Pass {
    Tensor hidden;    // [T, W]
    Tensor offsets;   // i32 [S+1]
    int longest = 0;  // rows of the largest slice
  };
  // `hidden` [T, W] is the caller's memory, of the type of activations.
  static Pass begin(Tensor hidden, const std::vector<int32_t>& offsets, Workspace& workspace);
  void run_layer(int layer, const Pass& pass, Workspace& workspace);
  // Makes what the first passes of any number of rows up to those of `hidden` would make
  // (Backend::prepare_matmul).
  void prepare(Tensor hidden, Workspace& workspace);

 private:
  // The scratch of one layer. Tensors that are never needed at once share memory: `mlp` and `qkv`, and
  // `attended` lies in the queries' place on the host, in `normed` on a device. Norms and the MLP take B rows
  // at a time: all on a device, at most kBlockRows on the host, where products of so many are as fast.
  struct Rows {
    Tensor normed;    // [B, W]
    Tensor qkv;       // [T, 3 W]
    Tensor attended;  // [T, W]
    Tensor mlp;       // [B, I]
  };
  Rows take_rows(int64_t rows, Workspace& workspace) const;
  struct Layer {
    LayerNorm norm1;
    Weight qkv;  // [3 W, W]
    DeviceTensor qkv_bias;
    Weight out;
    DeviceTensor out_bias;
    LayerNorm norm2;
    Weight fc1, fc2;
    DeviceTensor fc1_bias, fc2_bias;
  };
  static constexpr int64_t kBlockRows = 384;
  Layer load_layer(const std::string& prefix, Loader& loader, WeightFormat format) const;

  Backend& backend_;
  VisionConfig config_;
  const bool precise_;
  std::vector<Layer> layers_;
};

}  // namespace uhd
