#include "model/prompt.h"

#include <algorithm>
#include <string>

#include "base/error.h"

namespace uhd {
namespace {

// The parts of `ranges` inside [begin, end), counted from begin.
std::vector<TextRange> ranges_within(std::span<const TextRange> ranges, size_t begin, size_t end) {
  std::vector<TextRange> inside;
  for (const TextRange& range : ranges) {
    const size_t from = std::max(range.begin, begin);
    const size_t to = std::min(range.end, end);
    if (from < to) inside.push_back({from - begin, to - begin});
  }
  return inside;
}

class PromptBuilder {
 public:
  PromptBuilder(const Tokenizer& tokenizer, const ModelConfig& config)
      : tokenizer_(tokenizer), config_(config) {}

  void add_ids(const std::vector<int32_t>& ids) {
    prompt_.ids.insert(prompt_.ids.end(), ids.begin(), ids.end());
  }

  void add_image(int image, const SlicePlan& plan) {
    const ImageLayout& layout = config_.layout;
    if (layout.image_ids) {
      add_ids(tokenizer_.encode("<image_id>" + std::to_string(image) + "</image_id>", false, true));
    }
    if (layout.overview_first) add_overview(image, plan);
    for (int row = 0; row < plan.rows; ++row) {
      for (int column = 0; column < plan.columns; ++column) {
        add_ids(layout.before_slice);
        if (!layout.cell_marks.empty()) add_ids(layout.cell_mark(row, column));
        add_piece(image, plan, row * plan.columns + column);
        add_ids(layout.after_slice);
        if (column + 1 < plan.columns) add_ids(layout.column_separator);
      }
      const bool last = row + 1 == plan.rows;
      if (last && !layout.separator_after_last_row) continue;
      add_ids(last && !layout.last_row_separator.empty() ? layout.last_row_separator : layout.row_separator);
    }
    if (!layout.overview_first) add_overview(image, plan);
  }

  Prompt take() { return std::move(prompt_); }

 private:
  void add_overview(int image, const SlicePlan& plan) {
    add_ids(config_.layout.before_overview);
    add_piece(image, plan, plan.slices());
    add_ids(config_.layout.after_overview);
  }

  void add_piece(int image, const SlicePlan& plan, int piece) {
    const int length = tokens_of_piece(plan, piece, config_);
    prompt_.spans.push_back({image, piece, static_cast<int>(prompt_.ids.size()), length});
    prompt_.ids.insert(prompt_.ids.end(), static_cast<size_t>(length), kVisualToken);
  }

  const Tokenizer& tokenizer_;
  const ModelConfig& config_;
  Prompt prompt_;
};

}  // namespace

std::vector<std::vector<int32_t>> encode_around_images(const ChatText& chat, const Tokenizer& tokenizer) {
  std::vector<std::vector<int32_t>> chunks;
  size_t begin = 0;
  for (size_t i = 0; i <= chat.images.size(); ++i) {
    const size_t end = i < chat.images.size() ? chat.images[i].begin : chat.text.size();
    const auto literal = ranges_within(chat.literal, begin, end);
    chunks.push_back(
        tokenizer.encode_around(std::string_view(chat.text).substr(begin, end - begin), false, literal));
    if (i < chat.images.size()) begin = chat.images[i].end;
  }
  // A template that writes the prefix itself must not get it twice.
  const auto prefix = tokenizer.prefix();
  std::vector<int32_t>& first = chunks.front();
  const bool written =
      first.size() >= prefix.size() && std::equal(prefix.begin(), prefix.end(), first.begin());
  if (!written) first.insert(first.begin(), prefix.begin(), prefix.end());
  return chunks;
}

Prompt build_prompt(const std::vector<ChatTurn>& turns, bool add_generation_prompt, const ChatTemplate& chat,
                    const Tokenizer& tokenizer, const ModelConfig& config, std::span<const SlicePlan> plans) {
  return build_prompt(chat.render(turns, add_generation_prompt), tokenizer, config, plans);
}

Prompt build_prompt(const ChatText& chat, const Tokenizer& tokenizer, const ModelConfig& config,
                    std::span<const SlicePlan> plans) {
  require(chat.images.size() == plans.size(), "the conversation has ", chat.images.size(), " images, not ",
          plans.size());
  PromptBuilder builder(tokenizer, config);
  const auto chunks = encode_around_images(chat, tokenizer);
  for (size_t i = 0; i < chunks.size(); ++i) {
    builder.add_ids(chunks[i]);
    if (i < plans.size()) builder.add_image(static_cast<int>(i), plans[i]);
  }
  return builder.take();
}

Prompt build_text_prompt(std::string_view text, const Tokenizer& tokenizer) {
  return {tokenizer.encode(text, true, true), {}};
}

}  // namespace uhd
