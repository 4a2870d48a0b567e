#include "model/vision/tower_memory.h"

#include <algorithm>

#include "kernels/idle_backend.h"
#include "kernels/workspace.h"
#include "model/vision/slice_rows.h"
#include "model/vision/vision_tower.h"
#include "model/weights/blank_checkpoint.h"

namespace uhd {
namespace {

constexpr size_t kUnlimited = size_t{1} << 50;

Checkpoint blank_tower(const ModelConfig& model) {
  std::vector<Parameter> parameters = vision_parameters(model);
  const std::vector<Parameter> resampler = resampler_parameters(model);
  parameters.insert(parameters.end(), resampler.begin(), resampler.end());
  return blank_checkpoint(parameters);
}

PassMemory memory_of(const std::vector<PatchGrid>& pass, const ModelConfig& model, VisionTower& tower,
                     Backend& backend) {
  Workspace workspace(backend, kUnlimited);
  const SliceRows rule = slice_rows_of(model);
  const int side = model.vision->patch;
  std::vector<PixelSlice> slices;
  int64_t bytes = 0, rows = 0;
  for (const PatchGrid& grid : pass) {
    slices.push_back({bytes, grid.columns * side, grid.rows * side});
    bytes += grid.patches() * side * side * 3;
    rows += rule.of(grid);
  }
  const Tensor out(backend.allocate(1).data(), backend.activation_dtype(), {rows, model.language.hidden});
  PassMemory memory;
  Parts parts = tower.forward(out, workspace.take(DType::u8, {bytes}), slices, workspace);
  while (parts.advance()) memory.between_parts = std::max(memory.between_parts, workspace.used());
  memory.most = workspace.peak();
  return memory;
}

}  // namespace

// A pass takes the more the more patches and slices it has. Beside them only the shape of a slice counts, by
// the windows that a resampler lays over it: each pass has one slice of another aspect, as many of one patch
// as there may be, and all other patches in a strip.
std::vector<std::vector<PatchGrid>> largest_passes(const EncoderLimits& limits) {
  constexpr PatchGrid kShapes[] = {{1, 1}, {2, 3}, {3, 2}, {2, 4}, {4, 2}, {3, 4}, {4, 3}, {3, 3}};
  std::vector<std::vector<PatchGrid>> passes;
  for (const PatchGrid shape : kShapes) {
    const int64_t left = limits.max_patches - shape.patches();
    if (left < 0) continue;
    std::vector<PatchGrid> pass{shape};
    const int64_t more = std::min<int64_t>(std::max(limits.max_slices, 2) - 1, left);
    if (more > 0) {
      pass.insert(pass.end(), static_cast<size_t>(more - 1), PatchGrid{1, 1});
      pass.push_back({1, static_cast<int>(left - (more - 1))});
    }
    passes.push_back(std::move(pass));
  }
  return passes;
}

PassMemory pass_memory(const ModelConfig& model, const EncoderLimits& limits, DType activations,
                       bool host_memory) {
  IdleBackend idle(activations, host_memory);
  const Checkpoint blank = blank_tower(model);
  const auto tower = make_vision_tower(model, blank, blank, idle, WeightFormat::bf16);
  PassMemory largest;
  for (const auto& pass : largest_passes(limits)) {
    const PassMemory memory = memory_of(pass, model, *tower, idle);
    largest.most = std::max(largest.most, memory.most);
    largest.between_parts = std::max(largest.between_parts, memory.between_parts);
  }
  return largest;
}

}  // namespace uhd
