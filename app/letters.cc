#include "app/letters.h"

#include <ft2build.h>
#include FT_FREETYPE_H

#include <algorithm>

#include "app/font_files.h"
#include "base/error.h"
#include "base/utf8.h"

namespace uhd {
namespace {

constexpr uint32_t kMissing = 0xfffd;

void blend(uint8_t& ground, uint8_t ink, int coverage) {
  ground = static_cast<uint8_t>((ink * coverage + ground * (255 - coverage) + 127) / 255);
}

// Lays a glyph of 256 greys over the picture.
void stamp(Image& image, int left, int top, const FT_Bitmap& glyph, Colour colour) {
  const int rows = static_cast<int>(glyph.rows), columns = static_cast<int>(glyph.width);
  for (int row = std::max(0, -top); row < std::min(rows, image.height - top); ++row) {
    const uint8_t* coverage = glyph.buffer + static_cast<std::ptrdiff_t>(row) * glyph.pitch;
    for (int column = std::max(0, -left); column < std::min(columns, image.width - left); ++column) {
      const size_t at = (static_cast<size_t>(top + row) * image.width + left + column) * 3;
      blend(image.pixels[at], colour.red, coverage[column]);
      blend(image.pixels[at + 1], colour.green, coverage[column]);
      blend(image.pixels[at + 2], colour.blue, coverage[column]);
    }
  }
}

}  // namespace

class Letters::Faces {
 public:
  Faces() {
    require(FT_Init_FreeType(&library_) == 0, "FreeType cannot be started");
    for (const EmbeddedFile& file : font_files()) {
      FT_Face& face = file.name.find("Bold") == std::string_view::npos ? regular_ : bold_;
      check(FT_New_Memory_Face(library_, reinterpret_cast<const FT_Byte*>(file.content.data()),
                               static_cast<FT_Long>(file.content.size()), 0, &face) == 0,
            "the font ", file.name, " cannot be read");
    }
    check(regular_ != nullptr && bold_ != nullptr, "a font is missing");
  }
  ~Faces() { FT_Done_FreeType(library_); }
  Faces(const Faces&) = delete;
  Faces& operator=(const Faces&) = delete;

  // Calls `use(glyph)` for each character of the text.
  template <class Use>
  void each(std::string_view text, const TextStyle& style, bool render, const Use& use) const {
    const FT_Face face = style.bold ? bold_ : regular_;
    FT_Set_Pixel_Sizes(face, 0, static_cast<FT_UInt>(style.pixels));
    const std::string valid = repair_utf8(text, Replacement::per_subpart);
    for (size_t at = 0; at < valid.size();) {
      const CodePoint character = utf8_at(valid, at);
      at += character.bytes;
      FT_UInt index = FT_Get_Char_Index(face, character.value);
      if (index == 0) index = FT_Get_Char_Index(face, kMissing);
      const FT_Int32 flags = FT_LOAD_TARGET_LIGHT | (render ? FT_LOAD_RENDER : FT_LOAD_DEFAULT);
      if (FT_Load_Glyph(face, index, flags) == 0) use(face->glyph);
    }
  }

 private:
  FT_Library library_ = nullptr;
  FT_Face regular_ = nullptr, bold_ = nullptr;
};

Letters::Letters() : faces_(std::make_unique<Faces>()) {}
Letters::~Letters() = default;

int Letters::width(std::string_view text, const TextStyle& style) const {
  FT_Pos sum = 0;
  faces_->each(text, style, false, [&](FT_GlyphSlot glyph) { sum += glyph->advance.x; });
  return static_cast<int>((sum + 63) / 64);
}

void Letters::write(Image& image, int x, int baseline, std::string_view text, const TextStyle& style) const {
  FT_Pos pen = static_cast<FT_Pos>(x) * 64;
  faces_->each(text, style, true, [&](FT_GlyphSlot glyph) {
    const int left = static_cast<int>(pen / 64) + glyph->bitmap_left;
    stamp(image, left, baseline - glyph->bitmap_top, glyph->bitmap, style.colour);
    pen += glyph->advance.x;
  });
}

std::string Letters::shortened(std::string_view text, int width_limit, const TextStyle& style) const {
  std::string kept = repair_utf8(text, Replacement::per_subpart);
  if (width(kept, style) <= width_limit) return kept;
  while (!kept.empty() && width(kept + "…", style) > width_limit) {
    while (!begins_character(kept.back())) kept.pop_back();
    kept.pop_back();
  }
  return kept + "…";
}

}  // namespace uhd
