// Divides an answer into what the model thinks and what it says. A model that thinks writes <think>, its
// thoughts, </think>, and then its answer, as Qwen3 does. Newlines beside the tags belong to neither.
#pragma once

#include <string>
#include <string_view>

namespace uhd {

class ThoughtSplitter {
 public:
  struct Parts {
    std::string thoughts;
    std::string answer;
  };

  // Says that the prompt has opened the thoughts already.
  void open() { state_ = State::thinking; }
  // Returns true while the thoughts have begun and not ended.
  bool thinking() const { return state_ == State::thinking; }
  // Takes the next text, which may end anywhere, and returns what is certain now. With `last` nothing is held
  // back. An answer that does not begin with <think> has no thoughts.
  Parts take(std::string_view text, bool last);

 private:
  enum class State : uint8_t { undecided, thinking, ended, answering };

  void decide(Parts& parts, bool last);
  void think(Parts& parts, bool last);
  void answer(Parts& parts);

  State state_ = State::undecided;
  bool thought_ = false;  // the thoughts have a beginning
  std::string held_;
};

}  // namespace uhd
