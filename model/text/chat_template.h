// Renders a conversation as the text of a prompt with image marks, by the checkpoint's own Jinja template, or
// by the published conversation of its family if it has none (vicuna_v1 for LLaVA-1.5 and LLaVA-UHD v1).
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "model/text/tokenizer.h"
#include "model/text/tool_form.h"

namespace uhd {

// A ChatPart is one piece of a turn, in the order in which the client gave them.
struct ChatPart {
  std::string text;    // empty for an image
  bool image = false;  // an image stands here
};
struct ChatTurn {
  // system (or developer, which is the same) | user | assistant | tool, where the template knows tools
  std::string role;
  std::vector<ChatPart> parts;
  std::string
      tool_calls;  // an assistant's calls: a JSON array as OpenAI has it, arguments as objects; empty: none
  std::string tool_call_id;  // the call that a tool's turn answers; may be empty
  std::string thoughts;  // the thoughts of an earlier answer, for a template that reads them; may be empty
  std::string name;      // the name of the one who speaks, for a template that reads it; may be empty
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

// An ImageOrder says where the images of a turn stand: before its texts, as LLaVA's training code moved them,
// or where the client put them, as MiniCPM-V's does.
enum class ImageOrder : uint8_t { first, in_place };

// A ChatTemplate is immutable and thread-safe. A template that fails on a conversation, leaves out a typed
// text, or does not place every image once, is an Error with the template's own message.
class ChatTemplate {
 public:
  virtual ~ChatTemplate() = default;
  // `variables` is a JSON object, or empty: more variables for the template. `tools` is a JSON array as
  // OpenAI has it, or empty. The texts of both, of calls, thoughts and names are a user's.
  virtual ChatText render(const std::vector<ChatTurn>& turns, ChatEnd end, std::string_view variables,
                          std::string_view tools) const = 0;
  ChatText render(const std::vector<ChatTurn>& turns, ChatEnd end, std::string_view variables) const {
    return render(turns, end, variables, "");
  }
  ChatText render(const std::vector<ChatTurn>& turns, ChatEnd end) const { return render(turns, end, ""); }
  ChatText render(const std::vector<ChatTurn>& turns, bool add_generation_prompt) const {
    return render(turns, add_generation_prompt ? ChatEnd::new_turn : ChatEnd::last_turn);
  }
  // The variables that a client may set: those that the template reads, but for those that the server sets.
  virtual const std::vector<std::string>& variables() const = 0;
  // The order that the model was trained on; the caller brings turns into it.
  virtual ImageOrder image_order() const = 0;
  // Returns true if the template knows of a model's thoughts, between <think> and </think>.
  virtual bool thinks() const = 0;
  // Returns how the template writes calls of tools; none if it shows no tools, or in a form that is not known
  // here.
  virtual ToolForm tools() const = 0;
};

// Loads the template from chat_template.jinja, chat_template.json or tokenizer_config.json. If there is none,
// the key `conversation` of config.json decides (vicuna_v1, llava_v1, chatml_direct); else the LLaVA families
// use vicuna_v1 and others ChatML. A template that is wrong, calls an unknown name, or can write no
// conversation, is an Error.
std::shared_ptr<const ChatTemplate> load_chat_template(const std::filesystem::path& directory);

// Moves the images of each turn before its texts; both keep their order among themselves.
void put_images_first(std::vector<ChatTurn>& turns);

}  // namespace uhd
