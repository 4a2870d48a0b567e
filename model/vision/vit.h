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

  // The tensors of one pass. Layers read and write `hidden`; the others are scratch between them, and what
  // is never needed at once shares memory: `mlp` and `qkv`, and `attended` lies in the queries' place on the
  // host, in `normed` on a device. Norms and the MLP take B rows at a time: all on a device, at most
  // kBlockRows on the host, where products of so many are as fast. Slice s owns rows offsets[s] ..
  // offsets[s + 1].
  struct Pass {
    Tensor hidden;    // [T, W]
    Tensor normed;    // [B, W]
    Tensor qkv;       // [T, 3 W]
    Tensor attended;  // [T, W]
    Tensor mlp;       // [B, I]
    Tensor offsets;   // i32 [S+1]
    int longest = 0;  // rows of the largest slice
  };
  // As begin(), for rows of any slices: `offsets` is empty.
  Pass take_pass(Tensor hidden, Workspace& workspace) const;
  // `hidden` [T, W] is the caller's memory, of the type of activations.
  Pass begin(Tensor hidden, const std::vector<int32_t>& offsets, Workspace& workspace) const;
  void run_layer(int layer, Pass& pass);
  // Makes what the first passes of any number of rows up to those of `pass` would make
  // (Backend::prepare_matmul).
  void prepare(const Pass& pass);

 private:
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
