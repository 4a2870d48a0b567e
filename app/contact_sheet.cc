#include "app/contact_sheet.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "app/letters.h"
#include "base/error.h"
#include "model/vision/resize.h"

namespace uhd {
namespace {

constexpr Colour kPaper{250, 250, 248}, kInk{28, 30, 34}, kQuiet{96, 102, 110}, kLine{188, 192, 198},
    kWord{176, 66, 12}, kChip{253, 236, 222};
constexpr TextStyle kTitle{22, true, kInk}, kFact{15, false, kQuiet}, kNumber{15, true, kInk},
    kNote{15, false, kQuiet}, kSeparator{17, true, kWord}, kAround{13, false, kWord};
constexpr int kMargin = 28, kGap = 16, kBlockGap = 40, kLeading = 21;
constexpr int kMostPixels = 2000;  // of the grid's longer side
constexpr int kTinyPixels = 160;   // pieces below this are enlarged
constexpr int kLeastWidth = 560;   // of the text
constexpr int kLongestRuler = 240;

struct Box {
  int x = 0, y = 0, width = 0, height = 0;
};

void fill(Image& image, const Box& box, Colour colour) {
  const int right = std::min(box.x + box.width, image.width),
            bottom = std::min(box.y + box.height, image.height);
  for (int y = std::max(box.y, 0); y < bottom; ++y) {
    for (int x = std::max(box.x, 0); x < right; ++x) {
      const size_t at = (static_cast<size_t>(y) * image.width + x) * 3;
      image.pixels[at] = colour.red;
      image.pixels[at + 1] = colour.green;
      image.pixels[at + 2] = colour.blue;
    }
  }
}

// Lays the piece down, within a line of one pixel.
void paste(Image& image, const Image& piece, int x, int y) {
  fill(image, {x - 1, y - 1, piece.width + 2, piece.height + 2}, kLine);
  const size_t row = static_cast<size_t>(piece.width) * 3;
  for (int line = 0; line < piece.height; ++line) {
    const size_t to = (static_cast<size_t>(y + line) * image.width + x) * 3;
    std::memcpy(image.pixels.data() + to, piece.pixels.data() + row * line, row);
  }
}

Image enlarged(const Image& piece, int times) {
  Image large{piece.width * times, piece.height * times, {}};
  large.pixels.resize(static_cast<size_t>(large.width) * large.height * 3);
  for (int y = 0; y < large.height; ++y) {
    for (int x = 0; x < large.width; ++x) {
      const size_t from = (static_cast<size_t>(y / times) * piece.width + x / times) * 3;
      std::memcpy(&large.pixels[(static_cast<size_t>(y) * large.width + x) * 3], &piece.pixels[from], 3);
    }
  }
  return large;
}

// Returns how many pixels of the sheet one pixel of a piece takes, on each axis.
double zoom_of(const SlicePlan& plan) {
  const int64_t longest = std::max({plan.cell.width * plan.columns, plan.cell.height * plan.rows,
                                    plan.overview.width, plan.overview.height});
  const int64_t piece =
      std::max({plan.cell.width, plan.cell.height, plan.overview.width, plan.overview.height});
  if (longest > kMostPixels) return static_cast<double>(kMostPixels) / static_cast<double>(longest);
  return static_cast<double>(std::max<int64_t>(1, kTinyPixels / piece));
}

Image zoomed(const Image& piece, double zoom) {
  if (zoom >= 1) return enlarged(piece, static_cast<int>(zoom));
  const auto side = [&](int length) { return std::max(1, static_cast<int>(std::lround(length * zoom))); };
  return resize_bicubic(piece, side(piece.width), side(piece.height));
}

// A Label is written at a piece: the words around it above, its number or name and its cost below.
struct Label {
  std::string around;
  std::string name;
  std::vector<std::string> parts;  // size and tokens
};

// The pieces of one kind in rows and columns of equal slots.
class Block {
 public:
  Block(const Letters& letters, std::vector<Image> pieces, std::vector<Label> labels, int columns)
      : letters_(&letters), pieces_(std::move(pieces)), labels_(std::move(labels)), columns_(columns) {
    for (const Label& label : labels_) {
      above_ = label.around.empty() ? above_ : kLeading;
      one_line_ &= width_of(label, 0, label.parts.size()) <= pieces_.front().width;
    }
    slot_ = pieces_.front().width;
    for (const Label& label : labels_) slot_ = std::max(slot_, one_line_ ? 0 : stacked_width(label));
  }

  // Sets the words between the pieces of a row and behind it, which widen the gaps.
  void separate(const std::string& between, const std::string& behind, const std::string& last) {
    between_ = between;
    behind_ = behind;
    last_ = last;
    gap_ = std::max(kGap, between.empty() ? 0 : chip_width(between) + 8);
    tail_ = std::max(chip_width(behind), chip_width(last));
  }

  int rows() const { return static_cast<int>(pieces_.size()) / columns_; }
  int width() const { return columns_ * slot_ + (columns_ - 1) * gap_ + (tail_ > 0 ? tail_ + 8 : 0); }
  int height() const { return rows() * row_height() + (rows() - 1) * kGap; }
  int piece_width() const { return pieces_.front().width; }

  void draw(Image& sheet, int left, int top) const {
    for (int i = 0; i < static_cast<int>(pieces_.size()); ++i) {
      const int column = i % columns_, row = i / columns_;
      const int x = left + column * (slot_ + gap_), y = top + row * (row_height() + kGap) + above_;
      const Image& piece = pieces_[i];
      const Label& label = labels_[i];
      letters_->write(sheet, x, y - 7, letters_->shortened(label.around, slot_, kAround), kAround);
      paste(sheet, piece, x, y);
      write_label(sheet, label, x, y + piece.height + 18);
      const bool end = column + 1 == columns_;
      const std::string& word = !end ? between_ : row + 1 == rows() ? last_ : behind_;
      const int middle = x + slot_ + (end ? 8 + chip_width(word) / 2 : gap_ / 2);
      draw_chip(sheet, word, middle, y + piece.height / 2);
    }
  }

 private:
  int row_height() const {
    const int lines = one_line_ ? 1 : 1 + static_cast<int>(labels_.front().parts.size());
    return above_ + pieces_.front().height + 4 + lines * kLeading;
  }

  // Returns the width of the name and of these parts in one line.
  int width_of(const Label& label, size_t first, size_t count) const {
    int width = letters_->width(label.name, kNumber);
    for (size_t i = first; i < first + count; ++i) width += letters_->width("  " + label.parts[i], kNote);
    return width;
  }
  int stacked_width(const Label& label) const {
    int width = letters_->width(label.name, kNumber);
    for (const std::string& part : label.parts) width = std::max(width, letters_->width(part, kNote));
    return width;
  }

  void write_label(Image& sheet, const Label& label, int x, int baseline) const {
    letters_->write(sheet, x, baseline, label.name, kNumber);
    int at = x + letters_->width(label.name, kNumber);
    for (const std::string& part : label.parts) {
      if (one_line_) {
        letters_->write(sheet, at, baseline, "  " + part, kNote);
        at += letters_->width("  " + part, kNote);
      } else {
        baseline += kLeading;
        letters_->write(sheet, x, baseline, part, kNote);
      }
    }
  }

  int chip_width(const std::string& word) const {
    return word.empty() ? 0 : std::max(22, letters_->width(word, kSeparator) + 12);
  }
  void draw_chip(Image& sheet, const std::string& word, int x, int y) const {
    if (word.empty()) return;
    const int width = chip_width(word), height = 26;
    fill(sheet, {x - width / 2, y - height / 2 + 1, width, height - 2}, kChip);
    fill(sheet, {x - width / 2 + 1, y - height / 2, width - 2, height}, kChip);
    letters_->write(sheet, x - letters_->width(word, kSeparator) / 2, y + 6, word, kSeparator);
  }

  const Letters* letters_;
  std::vector<Image> pieces_;
  std::vector<Label> labels_;
  int columns_ = 1;
  std::string between_, behind_, last_;
  int above_ = 0, slot_ = 0, gap_ = kGap, tail_ = 0;
  bool one_line_ = true;
};

// Breaks a paragraph at spaces. A word that is too long is shortened.
std::vector<std::string> wrapped(const Letters& letters, const std::string& paragraph, int width) {
  std::vector<std::string> lines(1);
  for (size_t at = 0; at < paragraph.size();) {
    const size_t end = std::min(paragraph.find(' ', at), paragraph.size());
    const std::string word = letters.shortened(paragraph.substr(at, end - at), width, kFact);
    const std::string longer = lines.back().empty() ? word : lines.back() + ' ' + word;
    if (letters.width(longer, kFact) <= width) {
      lines.back() = longer;
    } else {
      lines.push_back(word);
    }
    at = end + 1;
  }
  return lines;
}

// A length of 1, 2 or 5 times a power of ten, in pixels of the picture, and how long it is on the sheet.
struct Ruler {
  int64_t pixels = 1;
  int length = 0;
};

Ruler ruler_of(double scale, int room) {
  Ruler ruler;
  for (int64_t power = 1; power <= 100'000; power *= 10) {
    for (const int64_t pixels : {power, 2 * power, 5 * power}) {
      const double length = static_cast<double>(pixels) * scale;
      if (length <= room) ruler = {pixels, static_cast<int>(std::lround(length))};
    }
  }
  return ruler;
}

void draw_ruler(Image& sheet, const Letters& letters, const Ruler& ruler, int x, int y) {
  fill(sheet, {x, y, ruler.length, 2}, kInk);
  fill(sheet, {x, y - 6, 2, 14}, kInk);
  fill(sheet, {x + ruler.length - 2, y - 6, 2, 14}, kInk);
  const std::string text = message(ruler.pixels, ruler.pixels == 1 ? " pixel" : " pixels", " of the picture");
  letters.write(sheet, x + ruler.length + 10, y + 6, text, kNote);
}

Label label_of(const SlicePlan& plan, int index, const ModelConfig& model, const LayoutWords& words) {
  const bool overview = index == plan.slices();
  const auto around = [](const std::string& before, const std::string& after) {
    return before.empty() && after.empty() ? "" : before + "…" + after;
  };
  const Size size = plan.piece(index);
  return {overview ? around(words.before_overview, words.after_overview)
                   : around(words.before_slice[index], words.after_slice),
          overview ? "overview" : std::to_string(index + 1),
          {message(size.width, "×", size.height), message(tokens_of_piece(plan, index, model), " tokens")}};
}

}  // namespace

Image draw_contact_sheet(const std::vector<Image>& pieces, const SlicePlan& plan, const ModelConfig& model,
                         const ContactSheet& sheet) {
  check(static_cast<int>(pieces.size()) == plan.pieces(), "pieces of another plan");
  const Letters letters;
  const double zoom = zoom_of(plan);
  std::vector<Image> drawn;
  std::vector<Label> labels;
  for (int i = 0; i < plan.pieces(); ++i) {
    drawn.push_back(zoomed(pieces[i], zoom));
    labels.push_back(label_of(plan, i, model, sheet.words));
  }
  std::vector<Block> blocks;
  const auto last = static_cast<std::ptrdiff_t>(plan.slices());
  if (plan.slices() > 0) {
    blocks.emplace_back(letters, std::vector(drawn.begin(), drawn.begin() + last),
                        std::vector(labels.begin(), labels.begin() + last), plan.columns);
    blocks.back().separate(sheet.words.between_columns, sheet.words.after_row, sheet.words.after_last_row);
  }
  blocks.emplace_back(letters, std::vector{drawn.back()}, std::vector{labels.back()}, 1);
  if (model.layout.overview_first) std::reverse(blocks.begin(), blocks.end());

  // Side by side, or one below the other where that is nearer to a square.
  int sum_of_widths = -kBlockGap, sum_of_heights = -kBlockGap, widest = 0, highest = 0;
  for (const Block& block : blocks) {
    sum_of_widths += block.width() + kBlockGap;
    sum_of_heights += block.height() + kBlockGap;
    widest = std::max(widest, block.width());
    highest = std::max(highest, block.height());
  }
  const bool beside = std::max(sum_of_widths, highest) <= std::max(widest, sum_of_heights) * 5 / 4;
  const int width = std::max(beside ? sum_of_widths : widest, kLeastWidth);
  std::vector<std::string> lines;
  for (const std::string& fact : sheet.facts) {
    for (std::string& line : wrapped(letters, fact, width)) lines.push_back(std::move(line));
  }
  const Ruler ruler =
      ruler_of(scale_of(plan, model.slicing).across * zoom, std::min(kLongestRuler, width / 2));

  const int text = kTitle.pixels + 12 + static_cast<int>(lines.size()) * kLeading;
  const int content = beside ? highest : sum_of_heights;
  Image image{width + 2 * kMargin, kMargin + text + 14 + content + 34 + kMargin, {}};
  image.pixels.resize(static_cast<size_t>(image.width) * image.height * 3);
  fill(image, {0, 0, image.width, image.height}, kPaper);
  int y = kMargin + kTitle.pixels;
  letters.write(image, kMargin, y - 4, letters.shortened(sheet.title, width, kTitle), kTitle);
  y += 12;
  for (const std::string& line : lines) {
    letters.write(image, kMargin, y + 12, line, kFact);
    y += kLeading;
  }
  y += 14;
  int x = kMargin;
  for (const Block& block : blocks) {
    block.draw(image, x, y);
    (beside ? x : y) += (beside ? block.width() : block.height()) + kBlockGap;
  }
  draw_ruler(image, letters, ruler, kMargin, image.height - kMargin - 8);
  return image;
}

}  // namespace uhd
