// Finds calls of tools in the text of an answer, as it comes.
#pragma once

#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "engine/engine.h"

namespace uhd {

// A ToolDelta is the beginning of a call, which has its name, or more of its arguments.
struct ToolDelta {
  size_t call = 0;      // the number of the call in its answer
  bool begins = false;  // the first of its call; a call has a name of at least one byte
  std::string name;
  std::string arguments;  // a part of a JSON text
};

// Follows the braces and brackets of a JSON text, outside of its strings.
class JsonDepth {
 public:
  JsonDepth() = default;
  // So many are open before the text.
  explicit JsonDepth(int open) : depth_(open) {}
  // Returns where the first bracket that was opened is closed, behind it; npos if that is not in `text`.
  size_t close(std::string_view text);

 private:
  int depth_ = 0;
  bool in_string_ = false;
  bool escaped_ = false;
};

// Returns what stands before a call's arguments and within its brace, as the form's templates write it.
std::string call_header(ToolForm form, std::string_view name);

// A ToolSplitter follows one answer. Arguments are given on as they come, once name and order of a call are
// plain. Text that begins like a call and is none stays text. The pieces that the answer comes in
// change nothing.
//
// A call without marks is a JSON object that begins the answer or follows another such call, has arguments
// and names one of the request's tools: Llama 3 writes them so, and some models of Qwen leave the marks out.
// If a grammar holds the arguments of that tool, such an object is text unless the grammar knows it: in
// Llama's form, as the template writes it.
class ToolSplitter {
 public:
  ToolSplitter() = default;
  // `names` are of the request's tools, `held` are those of them whose arguments a grammar holds.
  ToolSplitter(ToolForm form, bool parallel, std::vector<std::string> names,
               std::vector<std::string> held = {})
      : form_(form), parallel_(parallel), names_(std::move(names)), held_names_(std::move(held)) {}

  // Text and pieces of calls, in their order.
  struct Parts {
    std::vector<std::variant<std::string, ToolDelta>> list;
    void add(std::string_view more);
    std::string text() const;
    std::vector<ToolDelta> pieces() const;
  };
  // Takes the next text of the answer; nothing follows the last.
  Parts take(std::string_view text, bool last);
  size_t calls() const { return calls_; }

 private:
  enum class State : uint8_t { text, header, arguments, tail };
  enum class Bare : uint8_t { first, next, never };  // a call without marks may come here, or not
  enum class Next : uint8_t { wait, again, on };
  bool advance(Parts& parts, bool last);
  Next find_bare_call(Parts& parts, bool last);
  bool in_text(Parts& parts, bool last);
  bool in_header(Parts& parts, bool last);
  bool in_arguments(Parts& parts);
  bool in_tail(bool last);
  bool in_bare_tail(bool last);
  bool whole_call(Parts& parts, std::string_view text);
  void give_up(Parts& parts);
  void begin(Parts& parts, std::string name);
  bool is_tool(std::string_view name) const;
  bool is_held(std::string_view name) const;

  ToolForm form_ = ToolForm::none;
  bool parallel_ = true;
  std::vector<std::string> names_, held_names_;
  State state_ = State::text;
  Bare bare_ = Bare::first;
  bool marked_ = false;  // the call under way is between marks
  std::string held_;     // text that is not decided yet
  std::string opened_;   // the mark before a header and blanks before it; text, if there is no call
  size_t calls_ = 0;
  JsonDepth depth_;  // the depth inside the arguments
};

}  // namespace uhd
