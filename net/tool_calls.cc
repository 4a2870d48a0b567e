#include "net/tool_calls.h"

#include <algorithm>
#include <boost/json.hpp>
#include <optional>

#include "base/error.h"

namespace uhd {
namespace {

constexpr std::string_view kBlanks = " \t\r\n";
constexpr std::string_view kOpenCall = "<tool_call>";
constexpr std::string_view kCloseCall = "</tool_call>";
constexpr std::string_view kPythonTag = "<|python_tag|>";  // that Llama 3 may write first
// A call without marks that is not told apart within so many bytes is text, since each token looks at all.
constexpr size_t kMostUndecided = 16384;

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
  size_t end = 0;            // where the arguments begin
  bool like_a_call = false;  // its first member is one of a call
};

class HeaderReader {
 public:
  explicit HeaderReader(std::string_view text) : text_(text) {}

  Header read() {
    Header header;
    std::string key;
    if (open_braces() && quoted(key) && (header.like_a_call = is_of_a_call(key)) && skip_type(key) &&
        key == "name" && expect(":") && quoted(header.name) && expect(",") && quoted(key) &&
        (key == "arguments" || key == "parameters") && expect(":") && expect("{")) {
      header.end = at_ - 1;
      header.found = header.name.empty() ? Header::Found::none : Header::Found::whole;
    } else {
      header.found = short_ ? Header::Found::more : Header::Found::none;
    }
    return header;
  }

 private:
  static bool is_of_a_call(std::string_view key) {
    return key == "type" || key == "name" || key == "arguments" || key == "parameters";
  }
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

std::string call_header(ToolForm form, std::string_view name) {
  return message("\"name\": \"", name, "\", \"", form == ToolForm::hermes ? "arguments" : "parameters",
                 "\": ");
}

size_t JsonDepth::close(std::string_view text) {
  for (size_t at = 0; at < text.size(); ++at) {
    const char c = text[at];
    if (in_string_) {
      in_string_ = escaped_ || c != '"';
      escaped_ = !escaped_ && c == '\\';
    } else if (c == '"') {
      in_string_ = true;
    } else if (c == '{' || c == '[') {
      ++depth_;
    } else if ((c == '}' || c == ']') && --depth_ == 0) {
      return at + 1;
    }
  }
  return std::string_view::npos;
}

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

std::vector<ToolDelta> ToolSplitter::Parts::pieces() const {
  std::vector<ToolDelta> all;
  for (const auto& part : list) {
    if (const auto* piece = std::get_if<ToolDelta>(&part)) all.push_back(*piece);
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
      const auto* piece = std::get_if<ToolDelta>(&part);
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
      return marked_ ? in_tail(last) : in_bare_tail(last);
  }
  return false;
}

ToolSplitter::Next ToolSplitter::find_bare_call(Parts& parts, bool last) {
  const bool llama = form_ == ToolForm::llama3;
  // This may stand before it: Llama's tag, a semicolon between two, or the end of a call that was not opened.
  const std::string_view mark = bare_ == Bare::first ? (llama ? kPythonTag : std::string_view())
                                                     : (llama ? std::string_view(";") : kCloseCall);
  size_t at = skip_blanks(held_, 0);
  std::string_view rest = std::string_view(held_).substr(at);
  if (!last && (rest.empty() || (rest != mark && mark.starts_with(rest)))) return Next::wait;
  if (!mark.empty() && rest.starts_with(mark)) {
    at = skip_blanks(held_, at + mark.size());
    rest = std::string_view(held_).substr(at);
    if (bare_ == Bare::next) {
      held_.erase(0, at);
      return Next::again;
    }
    if (rest.empty() && !last) return Next::wait;
  }
  if (rest.empty() && bare_ == Bare::next) {
    held_.clear();
    return Next::wait;
  }
  if (rest.starts_with('{')) {
    const std::string_view seen = rest.substr(0, kMostUndecided);
    const bool more_comes = !last && rest.size() < kMostUndecided;
    const Header header = HeaderReader(seen).read();
    if (header.found == Header::Found::more && more_comes) return Next::wait;
    const bool whole = header.found == Header::Found::whole && is_tool(header.name);
    const bool as_held = llama && seen.substr(0, header.end).ends_with(call_header(form_, header.name));
    if (whole && (as_held || !is_held(header.name))) {
      begin(parts, header.name);
      held_.erase(0, at + header.end);
      state_ = State::arguments;
      return Next::again;
    }
    // Another order of its members: it is decided when it is whole.
    const size_t end =
        header.found == Header::Found::none && header.like_a_call ? JsonDepth().close(seen) : 0;
    if (end == std::string_view::npos && more_comes) return Next::wait;
    if (end != std::string_view::npos && end > 0 && whole_call(parts, seen.substr(0, end))) {
      held_.erase(0, at + end);
      return Next::again;
    }
  }
  if (bare_ == Bare::next) held_.erase(0, at);
  bare_ = Bare::never;
  return Next::on;
}

// Blanks before and between calls are no text.
bool ToolSplitter::in_text(Parts& parts, bool last) {
  if (bare_ != Bare::never) {
    marked_ = false;
    const Next next = find_bare_call(parts, last);
    if (next != Next::on) return next == Next::again;
  }
  if (form_ == ToolForm::llama3) {
    parts.add(std::exchange(held_, {}));
    return false;
  }
  const size_t open = held_.find(kOpenCall);
  const size_t end =
      open != std::string::npos ? open : held_.size() - (last ? 0 : held_for(held_, kOpenCall));
  // Blanks may stand before a call; they are text if text follows.
  const size_t blank = held_.find_last_not_of(kBlanks, end == 0 ? 0 : end - 1);
  const size_t text_end = end == 0 || blank == std::string::npos || blank >= end ? 0 : blank + 1;
  const size_t sure = open == std::string::npos && last && calls_ == 0 ? end : text_end;
  parts.add(std::string_view(held_).substr(0, sure));
  if (open == std::string::npos) {
    held_.erase(0, sure);
    return false;
  }
  opened_ = held_.substr(sure, open + kOpenCall.size() - sure);
  held_.erase(0, open + kOpenCall.size());
  marked_ = true;
  state_ = State::header;
  return true;
}

bool ToolSplitter::in_header(Parts& parts, bool last) {
  const Header header = HeaderReader(held_).read();
  if (header.found == Header::Found::whole) {
    begin(parts, header.name);
    held_.erase(0, header.end);
    state_ = State::arguments;
    return true;
  }
  if (header.found == Header::Found::more && !last) return false;
  // Another order of its members: it is decided when it is whole.
  const size_t close = held_.find(kCloseCall);
  if (close == std::string::npos && !last) return false;
  state_ = State::text;
  if (close != std::string::npos && whole_call(parts, std::string_view(held_).substr(0, close))) {
    held_.erase(0, close + kCloseCall.size());
  } else {
    give_up(parts);
  }
  return true;
}

// Gives the arguments on up to the brace that closes them.
bool ToolSplitter::in_arguments(Parts& parts) {
  const size_t close = depth_.close(held_);
  const size_t end = std::min(close, held_.size());
  if (end > 0) parts.list.emplace_back(ToolDelta{calls_ - 1, false, "", held_.substr(0, end)});
  held_.erase(0, end);
  if (close == std::string::npos) return false;
  state_ = State::tail;
  return true;
}

// The end of a call is left out, with further members; what follows a call without an end is text.
bool ToolSplitter::in_tail(bool last) {
  const size_t at = std::min(held_.find_first_not_of(" \t\r\n}"), held_.size());
  const std::string_view rest = std::string_view(held_).substr(at);
  if (kCloseCall.starts_with(rest) && rest != kCloseCall) {
    if (last) held_.clear();
    return false;
  }
  size_t close = rest.starts_with(kCloseCall) ? 0 : std::string_view::npos;
  if (rest.front() == ',') close = rest.find(kCloseCall);
  if (rest.front() == ',' && close == std::string_view::npos && !last) return false;
  held_.erase(0, close == std::string_view::npos ? at : at + close + kCloseCall.size());
  state_ = State::text;
  return true;
}

// Without marks the call ends with its brace, or with both of two, and further members are left out. Text
// that follows a call without an end stays.
bool ToolSplitter::in_bare_tail(bool last) {
  size_t at = skip_blanks(held_, 0);
  if (at < held_.size() && held_[at] == ',') {
    const size_t member = skip_blanks(held_, at + 1);
    if (member == held_.size() && !last) return false;
    const std::string_view seen = std::string_view(held_).substr(at + 1, kMostUndecided);
    const bool members = member < held_.size() && held_[member] == '"';
    const size_t end = members ? JsonDepth(1).close(seen) : std::string_view::npos;
    if (members && end == std::string_view::npos && !last && seen.size() < kMostUndecided) return false;
    if (end == std::string_view::npos) {
      held_.erase(0, at);
      state_ = State::text;
      return true;
    }
    at += 1 + end;
  }
  at = std::min(held_.find_first_not_of(" \t\r\n}", at), held_.size());
  if (at == held_.size() && !last) return false;
  held_.erase(0, at);
  state_ = State::text;
  return !held_.empty();
}

// Reads a call with its members in any order, or with arguments as a text.
bool ToolSplitter::whole_call(Parts& parts, std::string_view text) {
  boost::json::error_code failed;
  const boost::json::value value = boost::json::parse(text, failed);
  if (failed || !value.is_object()) return false;
  const boost::json::object& call = value.get_object();
  const auto* name = call.if_contains("name");
  const auto* arguments = call.if_contains("arguments");
  if (arguments == nullptr) arguments = call.if_contains("parameters");
  if (name == nullptr || !name->is_string() || name->get_string().empty()) return false;
  const std::string_view called = name->get_string();
  if (!marked_ && (!is_tool(called) || is_held(called) || arguments == nullptr ||
                   !(arguments->is_object() || arguments->is_string()))) {
    return false;
  }
  begin(parts, std::string(called));
  std::string given = "{}";
  if (arguments != nullptr) {
    given =
        arguments->is_string() ? std::string(arguments->get_string()) : boost::json::serialize(*arguments);
  }
  parts.list.emplace_back(ToolDelta{calls_ - 1, false, "", std::move(given)});
  return true;
}

void ToolSplitter::give_up(Parts& parts) {
  const size_t close = held_.find(kCloseCall);
  const size_t end = close == std::string::npos ? held_.size() : close + kCloseCall.size();
  parts.add(std::exchange(opened_, {}));
  parts.add(std::string_view(held_).substr(0, end));
  held_.erase(0, end);
}

void ToolSplitter::begin(Parts& parts, std::string name) {
  bare_ = marked_ ? Bare::never : Bare::next;
  depth_ = {};
  parts.list.emplace_back(ToolDelta{calls_++, true, std::move(name), ""});
}

bool ToolSplitter::is_tool(std::string_view name) const {
  return std::ranges::find(names_, name) != names_.end();
}

bool ToolSplitter::is_held(std::string_view name) const {
  return std::ranges::find(held_names_, name) != held_names_.end();
}

}  // namespace uhd
