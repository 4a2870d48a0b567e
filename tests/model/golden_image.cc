#include "tests/model/golden_image.h"

#include <algorithm>

#include "model/prompt.h"
#include "model/vision/feature_encoder.h"
#include "model/vision/resampler.h"
#include "model/vision/tower_memory.h"

namespace uhd {
namespace {

constexpr int32_t kImageMark = -200;

std::vector<std::filesystem::path> image_files(const Golden& golden) {
  std::vector<std::filesystem::path> files;
  const auto& object = golden.json.as_object();
  if (const auto* one = object.if_contains("image")) {
    files.push_back(golden.folder / std::string(one->as_string()));
  } else {
    for (const auto& file : object.at("images").as_array()) {
      files.push_back(golden.folder / std::string(file.as_string()));
    }
  }
  return files;
}

SlicingConfig slicing_of(const GoldenModel& model, const Golden& golden) {
  SlicingConfig slicing = model.config.slicing;
  const auto& object = golden.json.as_object();
  const auto number = [&](const char* key, int& to) {
    const auto* value = object.if_contains(key);
    if (value != nullptr && !value->is_null()) to = static_cast<int>(value->to_number<int64_t>());
  };
  number("max_slices", slicing.max_slices);
  number("prescale_longest_to", slicing.prescale_longest);
  return slicing;
}

void put_visual(EmbeddedPrompt& prompt, int64_t count) {
  prompt.ids.insert(prompt.ids.end(), static_cast<size_t>(count), kVisualToken);
}

}  // namespace

std::vector<GoldenPiece> cut_golden_images(const GoldenModel& model, const Golden& golden) {
  const SlicingConfig slicing = slicing_of(model, golden);
  const ImageLimits limits;
  std::vector<GoldenPiece> pieces;
  for (const auto& file : image_files(golden)) {
    const MappedFile mapped(file);
    const std::string_view bytes(reinterpret_cast<const char*>(mapped.bytes().data()), mapped.bytes().size());
    const Image image = decode_image(bytes, limits, true);
    const SlicePlan plan = plan_slices({image.width, image.height}, slicing);
    std::vector<Slice> slices = cut_slices(image, plan, slicing, "");
    std::vector<GoldenPiece> own;
    for (size_t i = 0; i < slices.size(); ++i) {
      const bool overview = i + 1 == slices.size();
      own.push_back({overview ? "overview" : "slice" + std::to_string(i), std::move(slices[i])});
    }
    if (model.config.layout.overview_first) std::rotate(own.begin(), own.end() - 1, own.end());
    for (GoldenPiece& piece : own) {
      if (golden.json.as_object().contains("image_bounds")) piece.name = std::to_string(pieces.size());
      if (model.config.family == Family::llava_15) piece.name = "";
      pieces.push_back(std::move(piece));
    }
  }
  return pieces;
}

EmbeddedPrompt golden_prompt(const GoldenModel&, const Golden& golden, std::vector<float> rows) {
  EmbeddedPrompt prompt;
  prompt.visual = std::move(rows);
  const auto ids = golden.ids("input_ids");
  const auto& object = golden.json.as_object();
  if (object.contains("image_bounds")) {
    prompt.ids = ids;
    for (const auto& bound : object.at("image_bounds").as_array()) {
      const auto first = bound.as_array().at(0).to_number<int64_t>(),
                 end = bound.as_array().at(1).to_number<int64_t>();
      std::fill(prompt.ids.begin() + first, prompt.ids.begin() + end, kVisualToken);
    }
    return prompt;
  }
  for (int32_t id : ids) {
    if (id != kImageMark) {
      prompt.ids.push_back(id);
    } else if (const auto* layout = object.if_contains("layout")) {
      for (const auto& item : layout->as_array()) {
        const auto& part = item.as_object();
        check(part.at("start").to_number<int64_t>() == static_cast<int64_t>(prompt.ids.size()), "layout of ",
              golden.name);
        if (part.contains("token")) {
          prompt.ids.push_back(static_cast<int32_t>(part.at("token").to_number<int64_t>()));
        } else {
          put_visual(prompt, part.at("len").to_number<int64_t>());
        }
      }
    } else {
      put_visual(prompt, object.at("image_len").to_number<int64_t>());
    }
  }
  return prompt;
}

std::vector<SliceView> views_of(const std::vector<GoldenPiece>& pieces) {
  std::vector<SliceView> views;
  for (const GoldenPiece& piece : pieces)
    views.push_back({piece.slice.width, piece.slice.height, piece.slice.pixels});
  return views;
}

PieceResult run_piece(Backend& backend, WeightFormat format, const GoldenModel& model, const Slice& slice) {
  const VisionConfig& vision = *model.config.vision;
  const auto encoder = make_feature_encoder(model.config, model.tower(), backend, format);
  const auto resampler = make_resampler(model.config, model.checkpoint, backend, format);
  const PatchGrid grid{slice.height / vision.patch, slice.width / vision.patch};
  const int64_t patches = grid.patches();
  const int64_t tokens = slice_rows_of(model.config).of(grid);
  const int64_t own = patches * vision.hidden + tokens * model.config.language.hidden;
  Workspace workspace(
      backend,
      pass_memory(model.config, {patches, 1}, backend.activation_dtype(), backend.host_memory()).most +
          static_cast<size_t>(own) * 4 + 1024);
  const auto bytes = static_cast<int64_t>(slice.pixels.size());
  const DType dtype = backend.activation_dtype();
  const Tensor pixels = workspace.take(DType::u8, {bytes});
  const Tensor features = workspace.take(dtype, {patches, vision.hidden});
  const Tensor out = workspace.take(dtype, {tokens, model.config.language.hidden});
  const PixelSlice place{0, slice.width, slice.height};
  backend.upload(pixels, Tensor::of(slice.pixels.data(), {bytes}));
  const auto patchify = [&](Tensor rows) {
    PatchNormalisation normalisation;
    std::copy(vision.mean.begin(), vision.mean.end(), normalisation.mean);
    std::copy(vision.deviation.begin(), vision.deviation.end(), normalisation.deviation);
    backend.patchify(rows, pixels, {&place, 1}, vision.patch, normalisation);
  };
  encoder->forward(features, patchify, {&grid, 1}, workspace).finish();
  resampler->forward(out, features, {&grid, 1}, workspace);
  return {host_floats(backend, features), host_floats(backend, out)};
}

}  // namespace uhd
