#include "model/vision/vision_encoder.h"

#include <algorithm>

namespace uhd {
namespace {

size_t total_workspace(const VisionConfig& config, const Vit& vit, const Resampler& resampler,
                       const EncoderLimits& limits, size_t element) {
  const auto patches = static_cast<size_t>(limits.max_patches);
  const auto values = size_t{3} * static_cast<size_t>(config.patch) * static_cast<size_t>(config.patch);
  const size_t pixels = patches * values;
  const size_t rows = patches * (values + static_cast<size_t>(config.hidden)) * element;
  return pixels + rows + 4 * 64 +
         std::max(vit.workspace_bytes(limits.max_patches, limits.max_slices),
                  resampler.workspace_bytes(limits.max_patches, limits.max_slices));
}

}  // namespace

VisionEncoder::VisionEncoder(const ModelConfig& model, const Checkpoint& checkpoint, const Checkpoint& tower,
                             Backend& backend, WeightFormat format, const EncoderLimits& limits)
    : backend_(backend),
      config_(*model.vision),
      hidden_(model.language.hidden),
      limits_(limits),
      vit_(model, tower, backend, format),
      resampler_(make_resampler(model, checkpoint, backend, format)),
      workspace_(backend,
                 total_workspace(config_, vit_, *resampler_, limits, size_of(backend.activation_dtype()))) {}

int64_t VisionEncoder::tokens_of(int width, int height) const {
  return resampler_->tokens_of({height / config_.patch, width / config_.patch});
}

void VisionEncoder::check_slice(const SliceView& slice) const {
  const int p = config_.patch;
  require(slice.width > 0 && slice.height > 0 && slice.width % p == 0 && slice.height % p == 0, "a slice of ",
          slice.width, "x", slice.height, " pixels is not made of patches of ", p);
  require(int64_t{slice.width / p} * (slice.height / p) <= limits_.max_patches, "a slice of ", slice.width,
          "x", slice.height, " pixels has more than ", limits_.max_patches, " patches");
  require(slice.pixels.size() == static_cast<size_t>(slice.width) * static_cast<size_t>(slice.height) * 3,
          "a slice of ", slice.width, "x", slice.height, " pixels comes with ", slice.pixels.size(),
          " bytes");
}

// How many of the first slices fit one pass.
size_t VisionEncoder::pass_length(std::span<const SliceView> slices) const {
  int64_t patches = 0;
  size_t count = 0;
  while (count < slices.size() && count < static_cast<size_t>(limits_.max_slices)) {
    patches += int64_t{slices[count].width / config_.patch} * (slices[count].height / config_.patch);
    if (count > 0 && patches > limits_.max_patches) break;
    ++count;
  }
  return count;
}

void VisionEncoder::run_pass(Tensor out, std::span<const SliceView> slices) {
  const Workspace::Scope scope(workspace_);
  std::vector<PatchGrid> grids;
  std::vector<PixelSlice> places;
  staged_.clear();
  int64_t patches = 0;
  for (const SliceView& slice : slices) {
    places.push_back({static_cast<int64_t>(staged_.size()), slice.width, slice.height});
    grids.push_back({slice.height / config_.patch, slice.width / config_.patch});
    patches += grids.back().patches();
    staged_.insert(staged_.end(), slice.pixels.begin(), slice.pixels.end());
  }
  const auto bytes = static_cast<int64_t>(staged_.size());
  const DType dtype = backend_.activation_dtype();
  const Tensor pixels = workspace_.take(DType::u8, {bytes});
  const Tensor rows = workspace_.take(dtype, {patches, int64_t{3} * config_.patch * config_.patch});
  const Tensor features = workspace_.take(dtype, {patches, config_.hidden});
  PatchNormalisation normalisation;
  std::copy(config_.mean.begin(), config_.mean.end(), normalisation.mean);
  std::copy(config_.deviation.begin(), config_.deviation.end(), normalisation.deviation);
  backend_.upload(pixels, Tensor::of(staged_.data(), {bytes}));
  backend_.patchify(rows, pixels, places, config_.patch, normalisation);
  vit_.forward(features, rows, grids, workspace_);
  resampler_->forward(out, features, grids, workspace_);
}

void VisionEncoder::encode(Tensor out, std::span<const SliceView> slices) {
  int64_t wanted = 0;
  for (const SliceView& slice : slices) {
    check_slice(slice);
    wanted += tokens_of(slice.width, slice.height);
  }
  check(out.rows() == wanted && out.row_size() == hidden_, "rows for ", wanted, " visual tokens of ",
        hidden_);
  int64_t first = 0;
  while (!slices.empty()) {
    const auto pass = slices.first(pass_length(slices));
    int64_t count = 0;
    for (const SliceView& slice : pass) count += tokens_of(slice.width, slice.height);
    run_pass(out.slice_rows(first, count), pass);
    first += count;
    slices = slices.subspan(pass.size());
  }
}

VisualTokens VisionEncoder::encode(std::span<const SliceView> slices) {
  VisualTokens tokens;
  int64_t rows = 0;
  for (const SliceView& slice : slices) {
    check_slice(slice);
    tokens.slices.push_back({rows, tokens_of(slice.width, slice.height)});
    rows += tokens.slices.back().count;
  }
  const DType dtype = backend_.activation_dtype();
  tokens.memory =
      backend_.allocate(std::max<size_t>(1, static_cast<size_t>(rows * hidden_) * size_of(dtype)));
  tokens.rows = tokens.memory.as(dtype, {rows, hidden_});
  encode(tokens.rows, slices);
  return tokens;
}

}  // namespace uhd
