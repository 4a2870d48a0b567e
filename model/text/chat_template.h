// A conversation to the text of a prompt with image marks, by the checkpoint's own Jinja template, or by the
// published conversation of its family when it has none (vicuna_v1 for LLaVA-1.5 and LLaVA-UHD v1).
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "model/text/tokenizer.h"

namespace uhd {

// One piece of a turn, in the order in which the client gave them.
struct ChatPart {
  std::string text;    // empty for an image
  bool image = false;  // an image stands here
};
struct ChatTurn {
  std::string role;  // system | user | assistant
  std::vector<ChatPart> parts;
};

struct ChatText {
  std::string text;
  std::vector<TextRange> literal;  // what the turns' own text became: never special tokens or image marks
  std::vector<TextRange> images;   // where the images stand, in order: their marks in the text
};

// Immutable; thread-safe. A template that fails on a conversation, or does not place every image once, is an
// Error with the template's own message.
class ChatTemplate {
 public:
  virtual ~ChatTemplate() = default;
  virtual ChatText render(const std::vector<ChatTurn>& turns, bool add_generation_prompt) const = 0;
};

// From chat_template.jinja, chat_template.json or tokenizer_config.json. Without any: by the key
// `conversation` of config.json (vicuna_v1, llava_v1, chatml_direct), else vicuna_v1 for the LLaVA families
// and ChatML for others.
std::shared_ptr<const ChatTemplate> load_chat_template(const std::filesystem::path& directory);

}  // namespace uhd
