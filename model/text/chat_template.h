// Renders a conversation as the text of a prompt with image marks, by the checkpoint's own Jinja template, or
// by the published conversation of its family if it has none (vicuna_v1 for LLaVA-1.5 and LLaVA-UHD v1).
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "model/text/tokenizer.h"

namespace uhd {

// A ChatPart is one piece of a turn, in the order in which the client gave them.
struct ChatPart {
  std::string text;    // empty for an image
  bool image = false;  // an image stands here
};
struct ChatTurn {
  std::string role;  // system (or developer, which is the same) | user | assistant; others are refused
  std::vector<ChatPart> parts;
};

struct ChatText {
  std::string text;
  // The ranges of the turns' own text, which never hold special tokens or image marks.
  std::vector<TextRange> literal;
  std::vector<TextRange> images;  // the marks of the images in the text, in order
};

// A ChatEnd says how the text ends: as the template closes the last turn, with the beginning of the
// assistant's next turn, or inside the last turn, whose text is to be continued.
enum class ChatEnd : uint8_t { last_turn, new_turn, inside_last };

// A ChatTemplate is immutable and thread-safe. A template that fails on a conversation, leaves out a typed
// text, or does not place every image once, is an Error with the template's own message.
class ChatTemplate {
 public:
  virtual ~ChatTemplate() = default;
  virtual ChatText render(const std::vector<ChatTurn>& turns, ChatEnd end) const = 0;
  ChatText render(const std::vector<ChatTurn>& turns, bool add_generation_prompt) const {
    return render(turns, add_generation_prompt ? ChatEnd::new_turn : ChatEnd::last_turn);
  }
};

// Loads the template from chat_template.jinja, chat_template.json or tokenizer_config.json. If there is none,
// the key `conversation` of config.json decides (vicuna_v1, llava_v1, chatml_direct); else the LLaVA families
// use vicuna_v1 and others ChatML. A template that is wrong, calls an unknown name, or can write no
// conversation, is an Error.
std::shared_ptr<const ChatTemplate> load_chat_template(const std::filesystem::path& directory);

}  // namespace uhd
