// A conversation to the text of a prompt with image marks, by the checkpoint's own Jinja template, or by the
// published conversation of its family when it has none (vicuna_v1 for LLaVA-1.5 and LLaVA-UHD v1).
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace uhd {

struct ChatTurn {
  std::string role;     // system | user | assistant
  std::string content;  // images stand in it as ChatTemplate::image_mark()
};

// Immutable; thread-safe. A template that fails on a conversation is an Error with the template's own
// message.
class ChatTemplate {
 public:
  virtual ~ChatTemplate() = default;
  virtual std::string render(const std::vector<ChatTurn>& turns, bool add_generation_prompt) const = 0;
};

std::shared_ptr<const ChatTemplate> load_chat_template(const std::filesystem::path& directory);

}  // namespace uhd
