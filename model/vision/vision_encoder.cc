#include "model/vision/vision_encoder.h"

#include <algorithm>

namespace uhd {

TowerShape tower_shape(const ModelConfig& model) {
  return {model.vision->patch, slice_rows_of(model), model.language.hidden};
}

VisionEncoder::VisionEncoder(std::unique_ptr<VisionTower> tower, TowerShape shape, Backend& backend,
                             const EncoderLimits& limits, std::shared_ptr<Workspace> workspace)
    : backend_(backend),
      shape_(shape),
      limits_(limits),
      tower_(std::move(tower)),
      workspace_(std::move(workspace)) {}

VisionEncoder::VisionEncoder(const ModelConfig& model, const Checkpoint& checkpoint, const Checkpoint& tower,
                             Backend& backend, WeightFormat format, const EncoderLimits& limits)
    : VisionEncoder(
          make_vision_tower(model, checkpoint, tower, backend, format), tower_shape(model), backend, limits,
          std::make_shared<Workspace>(
              backend, pass_memory(model, limits, backend.activation_dtype(), backend.host_memory()).most)) {}

PatchGrid VisionEncoder::grid_of(const SliceView& slice) const {
  return {slice.height / shape_.patch, slice.width / shape_.patch};
}

int64_t VisionEncoder::tokens_of(int width, int height) const {
  return shape_.rows.of(grid_of({width, height, {}}));
}

void VisionEncoder::check_slice(const SliceView& slice) const {
  const int p = shape_.patch;
  require(slice.width > 0 && slice.height > 0 && slice.width % p == 0 && slice.height % p == 0, "a slice of ",
          slice.width, "x", slice.height, " pixels is not made of patches of ", p);
  require(grid_of(slice).patches() <= limits_.max_patches, "a slice of ", slice.width, "x", slice.height,
          " pixels has more than ", limits_.max_patches, " patches");
  require(slice.pixels.size() == static_cast<size_t>(slice.width) * static_cast<size_t>(slice.height) * 3,
          "a slice of ", slice.width, "x", slice.height, " pixels comes with ", slice.pixels.size(),
          " bytes");
}

// Returns how many of the first slices fit one pass.
size_t VisionEncoder::pass_length(std::span<const SliceView> slices) const {
  int64_t patches = 0;
  size_t count = 0;
  while (count < slices.size() && count < static_cast<size_t>(limits_.max_slices)) {
    patches += grid_of(slices[count]).patches();
    if (count > 0 && patches > limits_.max_patches) break;
    ++count;
  }
  return count;
}

Parts VisionEncoder::run_pass(Tensor out, std::span<const SliceView> slices) {
  const Workspace::Scope scope(*workspace_);
  std::vector<PixelSlice> places;
  int64_t bytes = 0;
  for (const SliceView& slice : slices) {
    places.push_back({bytes, slice.width, slice.height});
    bytes += std::ssize(slice.pixels);
  }
  const Tensor pixels = workspace_->take(DType::u8, {bytes});
  for (size_t i = 0; i < slices.size(); ++i) {
    const std::span<const uint8_t> own = slices[i].pixels;
    backend_.upload(pixels.slice_rows(places[i].offset, std::ssize(own)),
                    Tensor::of(own.data(), {std::ssize(own)}));
  }
  for (Parts pass = tower_->forward(out, pixels, places, *workspace_); pass.advance();) {
    co_yield Parts::Pause{};
  }
}

Parts VisionEncoder::encode(Tensor out, std::span<const SliceView> slices) {
  int64_t wanted = 0;
  for (const SliceView& slice : slices) {
    check_slice(slice);
    wanted += tokens_of(slice.width, slice.height);
  }
  check(out.rows() == wanted && out.row_size() == shape_.hidden, "rows for ", wanted, " visual tokens of ",
        shape_.hidden);
  int64_t first = 0;
  while (!slices.empty()) {
    const auto pass = slices.first(pass_length(slices));
    int64_t count = 0;
    for (const SliceView& slice : pass) count += tokens_of(slice.width, slice.height);
    for (Parts parts = run_pass(out.slice_rows(first, count), pass); parts.advance();) {
      co_yield Parts::Pause{};
    }
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
      backend_.allocate(std::max<size_t>(1, static_cast<size_t>(rows * shape_.hidden) * size_of(dtype)));
  tokens.rows = tokens.memory.as(dtype, {rows, shape_.hidden});
  encode(tokens.rows, slices).finish();
  return tokens;
}

// Attention takes slices of few patches by other code than those of many.
void VisionEncoder::warm_up(Tensor out) {
  if (backend_.host_memory()) return;
  tower_->prepare(out, limits_.max_patches, limits_.max_slices, *workspace_);
  for (const int side : {2, 4}) {
    const int pixels = side * shape_.patch;
    const std::vector<uint8_t> grey(static_cast<size_t>(pixels * pixels) * 3, 128);
    const SliceView slice{pixels, pixels, grey};
    const int64_t rows = tokens_of(pixels, pixels);
    if (grid_of(slice).patches() > limits_.max_patches || rows > out.rows()) break;
    encode(out.slice_rows(0, rows), {&slice, 1}).finish();
  }
  backend_.synchronize();
}

}  // namespace uhd
