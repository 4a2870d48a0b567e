#include "model/vision/slicer.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <optional>

#include "model/vision/resize.h"

namespace uhd {
namespace {

int to_int(int64_t side) { return static_cast<int>(side); }

Slice make_slice(Image image, std::string_view salt) {
  Slice slice{.width = image.width, .height = image.height, .pixels = std::move(image.pixels)};
  const std::array<int32_t, 2> shape{slice.width, slice.height};
  slice.fingerprint = fingerprint({std::as_bytes(std::span(slice.pixels)), bytes_of(shape), bytes_of(salt)});
  return slice;
}

void append_pixels(Image& image, const uint8_t* row) {
  image.pixels.insert(image.pixels.end(), row, row + static_cast<size_t>(image.width) * 3);
}

Window whole_of(Size size) { return {0, 0, to_int(size.width), to_int(size.height)}; }

// The shorter side resized to the target's, then the middle; the rest is never made.
struct Crop {
  Size full;
  Window middle;
};

Crop centre_crop(Size image, Size target) {
  const int side = to_int(target.width);
  const auto scaled = [&](int64_t longer, int64_t shorter) {
    return static_cast<int64_t>(static_cast<double>(side * longer) / static_cast<double>(shorter));
  };
  Size full{side, side};
  if (image.width <= image.height) {
    full.height = scaled(image.height, image.width);
  } else {
    full.width = scaled(image.width, image.height);
  }
  return {full, {to_int((full.width - side) / 2), to_int((full.height - side) / 2), side, side}};
}

// The stored image in the middle of a square of the mean colour, which is never made.
class SquareFrame {
 public:
  SquareFrame(Size image, Orientation orientation) : side_(std::max(image.width, image.height)) {
    constexpr std::array<uint8_t, 3> kMeanColour{122, 116, 104};
    stored_ = orientation.swapped(image);
    const Size before = orientation.swapped({(side_ - image.width) / 2, (side_ - image.height) / 2});
    left_ = orientation.flip_across ? side_ - stored_.width - before.width : before.width;
    top_ = orientation.flip_down ? side_ - stored_.height - before.height : before.height;
    padding_.resize(static_cast<size_t>(side_) * 3 + kRowSlack);
    for (size_t i = 0; i < padding_.size(); ++i) padding_[i] = kMeanColour[i % 3];
    padded_ = padding_;
  }

  int64_t side() const { return side_; }
  void begin(ResizeStream& stream) const { stream.push(padding_.data(), top_); }
  void push(ResizeStream& stream, const uint8_t* row) {
    std::memcpy(padded_.data() + 3 * left_, row, static_cast<size_t>(stored_.width) * 3);
    stream.push(padded_.data());
  }
  void end(ResizeStream& stream) const { stream.push(padding_.data(), side_ - stored_.height - top_); }

 private:
  int64_t side_, left_ = 0, top_ = 0;
  Size stored_;
  std::vector<uint8_t> padding_, padded_;
};

// Takes the rows of a picture as it is stored and makes the pieces of its plan. Everything but the plan is in
// stored coordinates until the end.
class SliceCutter {
 public:
  SliceCutter(const SlicePlan& plan, const SlicingConfig& config, Orientation orientation,
              const RowKernels& kernels)
      : plan_(plan), orientation_(orientation), kernels_(kernels) {
    switch (config.kind) {
      case SlicingConfig::Kind::pad_square:
        frame_.emplace(plan.image, orientation);
        add_piece(plan.overview);
        give_piece(0, {frame_->side(), frame_->side()}, plan.overview, whole_of(plan.overview));
        frame_->begin(*streams_.front());
        break;
      case SlicingConfig::Kind::centre_crop: {
        const Crop crop = centre_crop(plan.image, plan.overview);
        add_piece(plan.overview);
        give_piece(0, plan.image, crop.full, crop.middle);
        break;
      }
      case SlicingConfig::Kind::adaptive:
        for (int i = 0; i < plan.pieces(); ++i) add_piece(plan.piece(i));
        if (plan.slices() > 0) give_grid();
        give_piece(plan.slices(), plan.source, plan.overview, whole_of(plan.overview));
        if (plan.source != plan.image) {
          prescale_ = make_stream(plan.image, plan.source, whole_of(plan.source),
                                  [this](const uint8_t* row) { push_source(row); });
        }
        break;
      case SlicingConfig::Kind::tiles:
        filter_ = ResizeFilter::lanczos;
        for (int i = 0; i < plan.pieces(); ++i) add_piece(plan.piece(i));
        give_tiles();
        prescale_ = make_stream(plan.image, plan.source, whole_of(plan.source),
                                [this](const uint8_t* row) { push_source(row); });
    }
  }
  SliceCutter(const SliceCutter&) = delete;
  SliceCutter& operator=(const SliceCutter&) = delete;

  void push(const uint8_t* row) { prescale_ != nullptr ? prescale_->push(row) : push_source(row); }

  // All rows were pushed.
  std::vector<Slice> finish(std::string_view salt) {
    if (frame_) frame_->end(*streams_.front());
    std::vector<Slice> slices;
    slices.reserve(pieces_.size());
    for (Image& piece : pieces_) {
      check(piece.pixels.size() == size_t{3} * piece.width * piece.height, "a slice lacks rows");
      slices.push_back(make_slice(turned_upright(std::move(piece), orientation_), salt));
    }
    return slices;
  }

 private:
  using Stream = std::unique_ptr<ResizeStream>;

  Stream make_stream(Size image, Size full, const Window& window, RowSink sink) const {
    return std::make_unique<ResizeStream>(image, full, window, orientation_, kernels_, std::move(sink),
                                          filter_);
  }

  void add_piece(Size upright) {
    const Size size = orientation_.swapped(upright);
    Image& piece = pieces_.emplace_back(Image{to_int(size.width), to_int(size.height), {}});
    piece.pixels.reserve(size_t{3} * piece.width * piece.height);
  }

  void give_piece(int index, Size image, Size full, const Window& window) {
    streams_.push_back(make_stream(
        image, full, window, [this, index](const uint8_t* row) { append_pixels(pieces_[index], row); }));
  }

  // One stream for all cells: each of its rows goes through a row of cells.
  void give_grid() {
    streams_.push_back(make_stream(plan_.source, plan_.refined, whole_of(plan_.refined),
                                   [this, y = 0](const uint8_t* row) mutable { cut_row(row, y++); }));
  }

  void cut_row(const uint8_t* row, int y) {
    const int trimmed = to_int(plan_.trimmed);
    const int height = pieces_.front().height, pitch = height + trimmed;
    const int cell_row = y / pitch, inside = y % pitch - (orientation_.flip_down ? trimmed : 0);
    if (inside < 0 || inside >= height) return;
    const int columns = orientation_.swap ? plan_.rows : plan_.columns;
    const int left = orientation_.flip_across ? trimmed : 0;
    for (int x = 0; x < columns; ++x) {
      Image& cell = pieces_[cell_index(x, cell_row)];
      append_pixels(cell, row + 3 * (size_t{1} * x * (cell.width + trimmed) + left));
    }
  }

  // The overview is made of what is cut, in a third resize.
  void give_tiles() {
    overview_ = make_stream(plan_.refined, plan_.untrimmed(plan_.overview), whole_of(plan_.overview),
                            [this](const uint8_t* row) { append_pixels(pieces_.back(), row); });
    streams_.push_back(make_stream(plan_.source, plan_.refined, whole_of(plan_.refined),
                                   [this, y = 0](const uint8_t* row) mutable {
                                     if (plan_.slices() > 0) cut_row(row, y++);
                                     overview_->push(row);
                                   }));
  }

  // Returns the index of the cell at stored column x and row y.
  int cell_index(int x, int y) const {
    const int columns = orientation_.swap ? plan_.rows : plan_.columns;
    const int rows = orientation_.swap ? plan_.columns : plan_.rows;
    if (orientation_.flip_across) x = columns - 1 - x;
    if (orientation_.flip_down) y = rows - 1 - y;
    return orientation_.swap ? x * plan_.columns + y : y * plan_.columns + x;
  }

  void push_source(const uint8_t* row) {
    if (frame_) return frame_->push(*streams_.front(), row);
    for (const Stream& stream : streams_) stream->push(row);
  }

  const SlicePlan& plan_;
  const Orientation orientation_;
  const RowKernels& kernels_;
  std::vector<Image> pieces_;  // as stored
  ResizeFilter filter_ = ResizeFilter::bicubic;
  Stream overview_;  // of what was cut into tiles
  Stream prescale_;  // null where the image is cut as it is
  std::vector<Stream> streams_;
  std::optional<SquareFrame> frame_;
};

void check_size(Size image, const SlicePlan& plan) {
  if (image == plan.image) return;
  throw ImageError("image_invalid",
                   message("the image decodes to ", image.width, "x", image.height,
                           " pixels, its header said ", plan.image.width, "x", plan.image.height));
}

void check_pieces(const SlicePlan& plan, int patch, const ImageLimits& limits) {
  for (const Size piece : {plan.piece(0), plan.overview}) {
    const int64_t patches = patches_of(piece, patch);
    if (patches <= limits.max_piece_patches) continue;
    throw ImageError("image_too_large", message("the image of ", plan.image.width, "x", plan.image.height,
                                                " pixels has a slice of ", patches, " patches; at most ",
                                                limits.max_piece_patches, " are accepted"));
  }
}

}  // namespace

SlicePlan plan_image(Size image, const SlicingConfig& config, const ImageLimits& limits) {
  SlicePlan plan;
  try {
    plan = plan_slices(image, config);
  } catch (const ImageError&) {
    throw;
  } catch (const Error& error) {
    throw ImageError("image_invalid", error.what());
  }
  check_pieces(plan, config.patch, limits);
  return plan;
}

std::vector<Slice> cut_encoded(std::string_view bytes, const ImageLimits& limits, bool reference_compat,
                               const SlicePlan& plan, const SlicingConfig& config, std::string_view salt,
                               const RowKernels& kernels) {
  const ImageHeader header = read_image_header(bytes, limits, reference_compat);
  check_size(header.oriented, plan);
  SliceCutter cutter(plan, config, orientation_of(header.orientation), kernels);
  decode_rows(bytes, header, reference_compat, [&](const uint8_t* row) { cutter.push(row); });
  return cutter.finish(salt);
}

std::vector<Slice> cut_slices(const Image& image, const SlicePlan& plan, const SlicingConfig& config,
                              std::string_view salt, const RowKernels& kernels) {
  check_size({image.width, image.height}, plan);
  SliceCutter cutter(plan, config, {}, kernels);
  give_image_rows(image, [&](const uint8_t* row) { cutter.push(row); });
  return cutter.finish(salt);
}

}  // namespace uhd
