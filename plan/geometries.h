// These are the models of the tables in docs/gpu-tables.md. LLaVA-UHD 13B is Vicuna 13B behind CLIP ViT-L/14
// at 336 pixels and the released resampler; the 7B has Vicuna 7B.
#pragma once

#include "model/config.h"

namespace uhd {

inline LanguageConfig vicuna(int layers, int hidden, int heads, int intermediate) {
  return {.layers = layers,
          .hidden = hidden,
          .heads = heads,
          .kv_heads = heads,
          .head_dim = 128,
          .intermediate = intermediate,
          .vocabulary = 32000,
          .context = 4096};
}
inline const LanguageConfig k7b = vicuna(32, 4096, 32, 11008);
inline const LanguageConfig k13b = vicuna(40, 5120, 40, 13824);
inline const VisionConfig kTower{
    .layers = 23, .total_layers = 24, .hidden = 1024, .heads = 16, .intermediate = 4096};
inline const ResamplerConfig kResampler{
    .kind = ResamplerKind::spatial, .queries = 144, .width = 5120, .heads = 40};

}  // namespace uhd
