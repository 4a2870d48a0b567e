#include <webp/decode.h>
#include <webp/demux.h>

#include <algorithm>
#include <memory>

#include "model/vision/image_decoders.h"

namespace uhd {
namespace {

using Demuxer = std::unique_ptr<WebPDemuxer, decltype(&WebPDemuxDelete)>;

Demuxer open(std::string_view bytes) {
  const WebPData data{reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()};
  Demuxer demuxer(WebPDemux(&data), WebPDemuxDelete);
  if (demuxer == nullptr) throw_damaged("WebP");
  return demuxer;
}

Size canvas_of(const WebPDemuxer* demuxer) {
  return {WebPDemuxGetI(demuxer, WEBP_FF_CANVAS_WIDTH), WebPDemuxGetI(demuxer, WEBP_FF_CANVAS_HEIGHT)};
}

std::string_view exif_of(const WebPDemuxer* demuxer) {
  WebPChunkIterator chunk{};
  std::string_view exif;
  if (WebPDemuxGetChunk(demuxer, "EXIF", 1, &chunk) != 0) {
    exif = {reinterpret_cast<const char*>(chunk.chunk.bytes), chunk.chunk.size};
  }
  WebPDemuxReleaseChunkIterator(&chunk);
  return exif;
}

// The first frame: the only one of a still picture.
class FirstFrame {
 public:
  explicit FirstFrame(const WebPDemuxer* demuxer) {
    if (WebPDemuxGetFrame(demuxer, 1, &frame_) == 0) throw_damaged("WebP");
  }
  FirstFrame(const FirstFrame&) = delete;
  FirstFrame& operator=(const FirstFrame&) = delete;
  ~FirstFrame() { WebPDemuxReleaseIterator(&frame_); }
  const WebPIterator* operator->() const { return &frame_; }

 private:
  WebPIterator frame_{};
};

void paste(Image& canvas, const WebPIterator& frame, const std::vector<uint8_t>& rgba,
           bool reference_compat) {
  for (int y = 0; y < frame.height; ++y) {
    const uint8_t* in = &rgba[static_cast<size_t>(y) * frame.width * 4];
    uint8_t* out =
        &canvas.pixels[(static_cast<size_t>(frame.y_offset + y) * canvas.width + frame.x_offset) * 3];
    for (int x = 0; x < frame.width; ++x, in += 4, out += 3) {
      const uint8_t alpha = reference_compat ? 255 : in[3];
      for (int c = 0; c < 3; ++c) out[c] = on_white(in[c], alpha);
    }
  }
}

// The pixels have kRowSlack bytes more than the picture.
void give_rows(const Image& image, const RowSink& sink) {
  for (int y = 0; y < image.height; ++y) sink(image.pixels.data() + static_cast<size_t>(y) * image.width * 3);
}

}  // namespace

StoredImage read_webp_header(std::string_view bytes) {
  const Demuxer demuxer = open(bytes);
  return {canvas_of(demuxer.get()), exif_of(demuxer.get())};
}

void decode_webp(std::string_view bytes, Size size, bool reference_compat, const RowSink& sink) {
  const Demuxer demuxer = open(bytes);
  const FirstFrame frame(demuxer.get());
  const WebPData& data = frame->fragment;
  WebPBitstreamFeatures features{};
  if (WebPGetFeatures(data.bytes, data.size, &features) != VP8_STATUS_OK || features.width != frame->width ||
      features.height != frame->height || frame->x_offset < 0 || frame->y_offset < 0 ||
      frame->width > size.width - frame->x_offset || frame->height > size.height - frame->y_offset) {
    throw_damaged("WebP");
  }
  Image image{static_cast<int>(size.width), static_cast<int>(size.height),
              std::vector<uint8_t>(static_cast<size_t>(size.width) * size.height * 3 + kRowSlack)};
  const bool covers = frame->width == size.width && frame->height == size.height;
  if (covers && features.has_alpha == 0) {
    if (WebPDecodeRGBInto(data.bytes, data.size, image.pixels.data(), image.pixels.size(), image.width * 3) ==
        nullptr) {
      throw_damaged("WebP");
    }
    return give_rows(image, sink);
  }
  std::vector<uint8_t> rgba(static_cast<size_t>(frame->width) * frame->height * 4);
  if (WebPDecodeRGBAInto(data.bytes, data.size, rgba.data(), rgba.size(), frame->width * 4) == nullptr) {
    throw_damaged("WebP");
  }
  // Pixels that the first frame does not cover are transparent.
  if (!reference_compat) std::fill(image.pixels.begin(), image.pixels.end(), uint8_t{255});
  paste(image, *frame.operator->(), rgba, reference_compat);
  give_rows(image, sink);
}

}  // namespace uhd
