// Renders a conversation by a chat template and the variables that a client gives it, separated by a zero
// byte.
#include "model/text/chat_template.h"
#include "tests/fuzz/targets.h"
#include "tests/support/temporary_directory.h"

namespace uhd {

bool fuzz_template(std::string_view bytes) {
  static const TemporaryDirectory directory;
  const auto parts = parts_of(bytes, 2);
  directory.write("chat_template.jinja", parts[0]);
  const auto chat = load_chat_template(directory.path());
  const std::vector<ChatTurn> turns = {{"system", {{"s"}}, "", ""},
                                       {"user", {{"", true}, {"{{ a }} <image>"}}, "", ""},
                                       {"assistant", {{"b"}}, "", ""},
                                       {"user", {{"c"}}, "", ""}};
  const ChatText text = chat->render(turns, ChatEnd::new_turn, parts[1]);
  for (const auto* ranges : {&text.literal, &text.images}) {
    for (const TextRange& range : *ranges)
      must_hold(range.begin <= range.end && range.end <= text.text.size(), "a range leaves its text");
  }
  must_hold(text.images.size() == 1, "an image is not in the text once");
  return true;
}

}  // namespace uhd
