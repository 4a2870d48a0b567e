#include "net/thoughts.h"

#include <algorithm>
#include <utility>

namespace uhd {
namespace {

constexpr std::string_view kOpen = "<think>";
constexpr std::string_view kClose = "</think>";

size_t newlines_at_begin(std::string_view text) {
  const size_t first = text.find_first_not_of('\n');
  return first == std::string_view::npos ? text.size() : first;
}

// Returns how many bytes at the end may be newlines before </think>, or a part of it.
size_t uncertain_end(std::string_view text) {
  size_t tag = std::min(text.size(), kClose.size() - 1);
  while (!text.ends_with(kClose.substr(0, tag))) --tag;
  const size_t words = text.find_last_not_of('\n', text.size() - tag - 1);
  if (tag == text.size()) return tag;
  return text.size() - (words == std::string_view::npos ? 0 : words + 1);
}

}  // namespace

ThoughtSplitter::Parts ThoughtSplitter::take(std::string_view text, bool last) {
  Parts parts;
  held_ += text;
  if (state_ == State::undecided) decide(parts, last);
  if (state_ == State::thinking) think(parts, last);
  if (state_ == State::ended || state_ == State::answering) answer(parts);
  return parts;
}

void ThoughtSplitter::decide(Parts& parts, bool last) {
  const std::string_view words = std::string_view(held_).substr(newlines_at_begin(held_));
  if (words.starts_with(kOpen)) {
    held_.erase(0, held_.size() - words.size() + kOpen.size());
    state_ = State::thinking;
  } else if (last || !kOpen.starts_with(words)) {
    parts.answer = std::exchange(held_, "");
    state_ = State::answering;
  }
}

void ThoughtSplitter::think(Parts& parts, bool last) {
  if (!thought_) held_.erase(0, newlines_at_begin(held_));
  const size_t close = held_.find(kClose);
  size_t end = close;
  if (close == std::string::npos) {
    end = last ? held_.size() : held_.size() - uncertain_end(held_);
  } else {
    while (end > 0 && held_[end - 1] == '\n') --end;
  }
  parts.thoughts = held_.substr(0, end);
  thought_ = thought_ || end > 0;
  if (close == std::string::npos) {
    held_.erase(0, end);
  } else {
    held_.erase(0, close + kClose.size());
    state_ = State::ended;
  }
}

void ThoughtSplitter::answer(Parts& parts) {
  if (state_ == State::ended) held_.erase(0, newlines_at_begin(held_));
  if (!held_.empty()) state_ = State::answering;
  parts.answer += std::exchange(held_, "");
}

}  // namespace uhd
