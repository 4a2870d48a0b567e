// Finds calls of tools in the text of an answer, as it comes.
#pragma once

#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "engine/engine.h"

namespace uhd {

// A ToolPiece is the beginning of a call, which has its name, or more of its arguments.
struct ToolPiece {
  size_t call = 0;      // the number of the call in its answer
  bool begins = false;  // the first of its call; a call has a name of at least one byte
  std::string name;
  std::string arguments;  // a part of a JSON text
};

// A ToolSplitter follows one answer. Arguments are given on as they come, once name and order of a call are
// plain. Text that begins like a call and is none stays text.
class ToolSplitter {
 public:
  ToolSplitter() = default;
  ToolSplitter(ToolForm form, bool parallel) : form_(form), parallel_(parallel) {}

  // Text and pieces of calls, in their order.
  struct Parts {
    std::vector<std::variant<std::string, ToolPiece>> list;
    void add(std::string_view more);
    std::string text() const;
    std::vector<ToolPiece> pieces() const;
  };
  // Takes the next text of the answer; nothing follows the last.
  Parts take(std::string_view text, bool last);
  size_t calls() const { return calls_; }

 private:
  enum class State : uint8_t { text, header, arguments, tail };
  bool advance(Parts& parts, bool last);
  bool in_text(Parts& parts, bool last);
  bool in_header(Parts& parts, bool last);
  bool in_arguments(Parts& parts);
  bool in_tail(bool last);
  bool whole_call(Parts& parts);
  void give_up(Parts& parts);
  void begin(Parts& parts, std::string name);

  ToolForm form_ = ToolForm::none;
  bool parallel_ = true;
  State state_ = State::text;
  std::string held_;    // text that is not decided yet
  bool begun_ = false;  // the answer has visible text, or a call
  size_t calls_ = 0;
  int depth_ = 0;  // of the arguments' braces and brackets
  bool in_string_ = false;
  bool escaped_ = false;
};

}  // namespace uhd
