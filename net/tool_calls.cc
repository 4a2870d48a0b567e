#include "net/tool_calls.h"

#include <algorithm>
#include <boost/json.hpp>
#include <optional>

namespace uhd {
namespace {

constexpr std::string_view kBlanks = " \t\r\n";
constexpr std::string_view kOpenCall = "<tool_call>";
constexpr std::string_view kCloseCall = "</tool_call>";
constexpr std::string_view kPythonTag = "<|python_tag|>";  // that Llama 3 may write first

// Returns how many of the last bytes of a text may be the beginning of a mark.
size_t held_for(std::string_view text, std::string_view mark) {
  for (size_t n = std::min(text.size(), mark.size() - 1); n > 0; --n) {
    if (text.ends_with(mark.substr(0, n))) return n;
  }
  return 0;
}

size_t skip_blanks(std::string_view text, size_t at) {
  return std::min(text.find_first_not_of(kBlanks, at), text.size());
}

// A Header is what stands before the arguments: {"name": "f", "arguments": , in this order. Llama 3 may write
// "type": "function" first, and Qwen2.5 wrote a second pair of braces, as its first template showed
// them.
struct Header {
  enum class Found : uint8_t { whole, more, none } found = Found::none;
  std::string name;
  size_t end = 0;  // where the arguments begin
};

class HeaderReader {
 public:
  explicit HeaderReader(std::string_view text) : text_(text) {}

  Header read() {
    Header header;
    std::string key;
    if (open_braces() && quoted(key) && skip_type(key) && key == "name" && expect(":") &&
        quoted(header.name) && expect(",") && quoted(key) && (key == "arguments" || key == "parameters") &&
        expect(":") && expect("{")) {
      header.end = at_ - 1;
      header.found = header.name.empty() ? Header::Found::none : Header::Found::whole;
    } else {
      header.found = short_ ? Header::Found::more : Header::Found::none;
    }
    return header;
  }

 private:
  bool next() {
    at_ = skip_blanks(text_, at_);
    short_ = at_ == text_.size();
    return !short_;
  }
  bool expect(std::string_view sign) {
    if (!next() || text_[at_] != sign[0]) return false;
    ++at_;
    return true;
  }
  bool open_braces() {
    if (!expect("{")) return false;
    if (next() && text_[at_] == '{') ++at_;
    return true;
  }
  bool skip_type(std::string& key) {
    if (key != "type") return true;
    std::string type;
    return expect(":") && quoted(type) && type == "function" && expect(",") && quoted(key);
  }
  // Names and keys have no escapes.
  bool quoted(std::string& out) {
    if (!expect("\"")) return false;
    const size_t end = text_.find_first_of("\"\\", at_);
    short_ = end == std::string_view::npos;
    if (short_ || text_[end] == '\\') return false;
    out = text_.substr(at_, end - at_);
    at_ = end + 1;
    return true;
  }

  std::string_view text_;
  size_t at_ = 0;
  bool short_ = false;  // the text ends too early to tell
};

}  // namespace

void ToolSplitter::Parts::add(std::string_view more) {
  if (more.empty()) return;
  auto* text = list.empty() ? nullptr : std::get_if<std::string>(&list.back());
  if (text == nullptr) text = &std::get<std::string>(list.emplace_back(std::string()));
  *text += more;
}

std::string ToolSplitter::Parts::text() const {
  std::string whole;
  for (const auto& part : list) {
    if (const auto* text = std::get_if<std::string>(&part)) whole += *text;
  }
  return whole;
}

std::vector<ToolPiece> ToolSplitter::Parts::pieces() const {
  std::vector<ToolPiece> all;
  for (const auto& part : list) {
    if (const auto* piece = std::get_if<ToolPiece>(&part)) all.push_back(*piece);
  }
  return all;
}

ToolSplitter::Parts ToolSplitter::take(std::string_view text, bool last) {
  Parts parts;
  if (form_ == ToolForm::none) {
    parts.add(text);
    return parts;
  }
  held_ += text;
  while (advance(parts, last)) {
  }
  if (!parallel_) {
    std::erase_if(parts.list, [](const auto& part) {
      const auto* piece = std::get_if<ToolPiece>(&part);
      return piece != nullptr && piece->call > 0;
    });
  }
  return parts;
}

// Returns true while there is something to decide.
bool ToolSplitter::advance(Parts& parts, bool last) {
  switch (state_) {
    case State::text:
      return in_text(parts, last);
    case State::header:
      return in_header(parts, last);
    case State::arguments:
      return in_arguments(parts);
    case State::tail:
      return in_tail(last);
  }
  return false;
}

// Blanks before and between calls are no text.
bool ToolSplitter::in_text(Parts& parts, bool last) {
  size_t visible = skip_blanks(held_, 0);
  if (form_ == ToolForm::llama3) {
    // A call is the whole answer; a further one follows a semicolon.
    const std::string_view rest = std::string_view(held_).substr(visible);
    if (!begun_ && rest.starts_with(kPythonTag)) visible = skip_blanks(held_, visible + kPythonTag.size());
    if (!begun_ && !last && (visible == held_.size() || kPythonTag.starts_with(rest))) return false;
    const bool opens = visible < held_.size() && held_[visible] == '{' && (!begun_ || calls_ > 0);
    if (opens) {
      held_.erase(0, visible);
      state_ = State::header;
      return true;
    }
    if (calls_ > 0 && visible < held_.size() && held_[visible] == ';') {
      held_.erase(0, visible + 1);
      return true;
    }
    if (calls_ > 0 && visible == held_.size()) return false;
    begun_ = true;
    parts.add(std::exchange(held_, {}));
    return false;
  }
  // Some models of Qwen leave the marks out. An answer that begins with a call is read as Llama's are then.
  if (!begun_ && visible < held_.size() && held_[visible] == '{') {
    const Header header = HeaderReader(std::string_view(held_).substr(visible)).read();
    if (header.found == Header::Found::more && !last) return false;
    if (header.found == Header::Found::whole) {
      form_ = ToolForm::llama3;
      return true;
    }
  }
  const size_t open = held_.find(kOpenCall);
  const size_t end =
      open != std::string::npos ? open : held_.size() - (last ? 0 : held_for(held_, kOpenCall));
  // Blanks may stand before a call; they are text if text follows.
  const size_t blank = held_.find_last_not_of(kBlanks, end == 0 ? 0 : end - 1);
  const size_t text_end = end == 0 || blank == std::string::npos || blank >= end ? 0 : blank + 1;
  const size_t sure = open == std::string::npos && last && calls_ == 0 ? end : text_end;
  parts.add(std::string_view(held_).substr(0, sure));
  begun_ = begun_ || sure > 0;
  if (open == std::string::npos) {
    held_.erase(0, sure);
    return false;
  }
  held_.erase(0, open + kOpenCall.size());
  state_ = State::header;
  return true;
}

bool ToolSplitter::in_header(Parts& parts, bool last) {
  const Header header = HeaderReader(held_).read();
  if (header.found == Header::Found::whole) {
    begin(parts, header.name);
    held_.erase(0, header.end);
    state_ = State::arguments;
    depth_ = 0;
    return true;
  }
  if (header.found == Header::Found::more && !last) return false;
  if (whole_call(parts)) return true;
  // Another order of its members: it is decided when it is whole.
  if (!last && form_ == ToolForm::hermes && held_.find(kCloseCall) == std::string::npos) return false;
  give_up(parts);
  return true;
}

// Gives the arguments on up to the brace that closes them.
bool ToolSplitter::in_arguments(Parts& parts) {
  size_t at = 0;
  bool closed = false;
  for (; at < held_.size() && !closed; ++at) {
    const char c = held_[at];
    if (in_string_) {
      in_string_ = escaped_ || c != '"';
      escaped_ = !escaped_ && c == '\\';
    } else if (c == '"') {
      in_string_ = true;
    } else if (c == '{' || c == '[') {
      ++depth_;
    } else if (c == '}' || c == ']') {
      closed = --depth_ == 0;
    }
  }
  if (at > 0) parts.list.emplace_back(ToolPiece{calls_ - 1, false, "", held_.substr(0, at)});
  held_.erase(0, at);
  if (closed) state_ = State::tail;
  return closed;
}

// The end of a call is left out, with further members; what follows a call without an end is text.
bool ToolSplitter::in_tail(bool last) {
  const std::string_view mark = form_ == ToolForm::hermes ? kCloseCall : "}";
  const size_t at = std::min(held_.find_first_not_of(" \t\r\n}"), held_.size());
  const std::string_view rest = std::string_view(held_).substr(at);
  if (mark.starts_with(rest) && rest != mark) {
    if (last) held_.clear();
    return false;
  }
  size_t close = rest.starts_with(mark) ? 0 : std::string_view::npos;
  if (rest.front() == ',') close = rest.find(mark);
  if (rest.front() == ',' && close == std::string_view::npos && !last) return false;
  held_.erase(0, close == std::string_view::npos ? at : at + close + mark.size());
  state_ = State::text;
  return true;
}

// A call with its members in any order, or with arguments as a text.
bool ToolSplitter::whole_call(Parts& parts) {
  const size_t close = form_ == ToolForm::hermes ? held_.find(kCloseCall) : held_.size();
  if (close == std::string::npos) return false;
  boost::json::error_code failed;
  const boost::json::value value = boost::json::parse(std::string_view(held_).substr(0, close), failed);
  if (failed || !value.is_object()) return false;
  const boost::json::object& call = value.get_object();
  const auto* name = call.if_contains("name");
  const auto* arguments = call.if_contains("arguments");
  if (arguments == nullptr) arguments = call.if_contains("parameters");
  if (name == nullptr || !name->is_string() || name->get_string().empty()) return false;
  begin(parts, std::string(name->get_string()));
  std::string text = "{}";
  if (arguments != nullptr) {
    text = arguments->is_string() ? std::string(arguments->get_string()) : boost::json::serialize(*arguments);
  }
  parts.list.emplace_back(ToolPiece{calls_ - 1, false, "", std::move(text)});
  held_.erase(0, std::min(held_.size(), form_ == ToolForm::hermes ? close + kCloseCall.size() : close));
  state_ = State::text;
  return true;
}

void ToolSplitter::give_up(Parts& parts) {
  if (form_ == ToolForm::hermes) parts.add(kOpenCall);
  const size_t close = form_ == ToolForm::hermes ? held_.find(kCloseCall) : std::string::npos;
  const size_t end = close == std::string::npos ? held_.size() : close + kCloseCall.size();
  parts.add(std::string_view(held_).substr(0, end));
  held_.erase(0, end);
  begun_ = true;
  state_ = State::text;
}

void ToolSplitter::begin(Parts& parts, std::string name) {
  begun_ = true;
  parts.list.emplace_back(ToolPiece{calls_++, true, std::move(name), ""});
}

}  // namespace uhd
