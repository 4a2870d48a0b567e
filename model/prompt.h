// A Prompt holds the token ids of one request, with spans where visual tokens take the place of ids.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/visual_span.h"
#include "model/config.h"
#include "model/text/chat_template.h"
#include "model/text/tokenizer.h"
#include "model/vision/slice_plan.h"

namespace uhd {

inline constexpr int32_t kVisualToken = -1;  // the id of the tokens inside a visual span

struct Prompt {
  std::vector<int32_t> ids;
  VisualSpans spans;
};

// Builds the prompt of a conversation; `plans` holds one plan per image part, in order. The text of a turn
// never becomes a special token or an image, whatever it says. Throws an Error when the template refuses the
// conversation or the numbers of images differ.
Prompt build_prompt(const std::vector<ChatTurn>& turns, bool add_generation_prompt, const ChatTemplate& chat,
                    const Tokenizer& tokenizer, const ModelConfig& config, std::span<const SlicePlan> plans);

// Does the same from text that was rendered already.
Prompt build_prompt(const ChatText& chat, const Tokenizer& tokenizer, const ModelConfig& config,
                    std::span<const SlicePlan> plans);

// Returns the ids of the text before, between and after the images, each tokenised on its own as LLaVA does;
// the first begins with the tokenizer's prefix.
std::vector<std::vector<int32_t>> encode_around_images(const ChatText& chat, const Tokenizer& tokenizer);

// Builds a raw prompt without images: special tokens written in it become their ids.
Prompt build_text_prompt(std::string_view text, const Tokenizer& tokenizer);

}  // namespace uhd
