#include "app/layout_words.h"

#include <memory>

#include "base/error.h"
#include "base/utf8.h"
#include "model/text/tokenizer.h"

namespace uhd {
namespace {

using Ids = std::vector<int32_t>;

class Reader {
 public:
  explicit Reader(const ModelConfig& model) {
    if (!model.directory.empty()) tokenizer_ = load_tokenizer(model.directory);
  }

  std::string text(const Ids& ids) const {
    std::string joined;
    for (const int32_t id : ids) joined += visible(id);
    return joined;
  }

 private:
  std::string visible(int32_t id) const {
    std::string bytes = tokenizer_ ? tokenizer_->bytes_of_token(id) : std::string(1, static_cast<char>(id));
    const bool long_one = bytes.size() > kMostBytes;
    if (long_one) {  // a sheet has no room for all of it
      size_t end = kMostBytes;
      while (end > 0 && !begins_character(bytes[end])) --end;
      bytes.resize(end);
    }
    std::string text;
    for (const char c : bytes) text += c == '\n' ? "↵" : std::string(1, c);
    const bool blank = text.find_first_not_of(' ') == std::string::npos;
    return blank ? message("#", id) : text + (long_one ? "…" : "");
  }

  static constexpr size_t kMostBytes = 32;  // of a token that is written

  std::shared_ptr<const Tokenizer> tokenizer_;
};

}  // namespace

LayoutWords layout_words(const SlicePlan& plan, const ModelConfig& model) {
  const ImageLayout& layout = model.layout;
  const Reader reader(model);
  LayoutWords words{.between_columns = reader.text(layout.column_separator),
                    .after_row = reader.text(layout.row_separator),
                    .before_slice = {},
                    .after_slice = reader.text(layout.after_slice),
                    .before_overview = reader.text(layout.before_overview),
                    .after_overview = reader.text(layout.after_overview)};
  if (layout.separator_after_last_row) {
    words.after_last_row =
        layout.last_row_separator.empty() ? words.after_row : reader.text(layout.last_row_separator);
  }
  const std::string before = reader.text(layout.before_slice);
  for (int i = 0; i < plan.slices(); ++i) {
    const bool marked = !layout.cell_marks.empty();
    words.before_slice.push_back(
        before + (marked ? reader.text(layout.cell_mark(i / plan.columns, i % plan.columns)) : ""));
  }
  return words;
}

}  // namespace uhd
