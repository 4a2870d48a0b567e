#include "model/text/detokenizer.h"

#include <algorithm>

#include "base/error.h"
#include "base/utf8.h"

namespace uhd {

Detokenizer::Detokenizer(const std::shared_ptr<const Tokenizer>& tokenizer,
                         std::vector<std::string> stop_strings, bool skip_special, bool keep_stop)
    : tokenizer_(tokenizer),
      decoder_(tokenizer->decoder(skip_special)),
      stop_strings_(std::move(stop_strings)),
      keep_stop_(keep_stop) {
  std::erase(stop_strings_, "");
}

std::string Detokenizer::push(int32_t id, bool may_stop) {
  if (stopped_) return "";
  may_stop_ = may_stop;
  std::string settled;
  decoder_->push(id, settled);
  if (broken_) return "";
  if (!settled.empty()) {
    if (!settled.starts_with(ahead_)) {
      broken_ = true;
      return "";
    }
    pending_.append(settled, ahead_.size(), std::string::npos);
    ahead_.clear();
  }
  const std::string_view tail = decoder_->tail();
  if ((tail.empty() ? std::string_view(pending_) : tail).ends_with(kReplacement)) return "";
  std::string text = std::move(pending_);
  pending_.clear();
  if (tail.size() > ahead_.size()) {
    text += tail.substr(ahead_.size());
    ahead_ += tail.substr(ahead_.size());
  }
  return release(std::move(text), false);
}

std::string Detokenizer::flush() {
  if (stopped_) return "";
  const std::string_view tail = decoder_->tail();
  std::string rest;
  if (!broken_ && tail.starts_with(ahead_)) {
    rest = pending_;
    rest += tail.substr(ahead_.size());
  }
  pending_.clear();
  broken_ = true;
  return release(std::move(rest), true);
}

// Gives out the text that cannot be part of a stop string any more.
std::string Detokenizer::release(std::string&& text, bool last) {
  held_ += text;
  if (!may_stop_) immune_ = held_.size();
  const size_t cut = find_stop();
  if (cut != std::string::npos) {
    stopped_ = true;
    held_.resize(cut + (keep_stop_ ? stopped_by_.size() : 0));
    return std::move(held_);
  }
  size_t keep = 0;
  for (const std::string& stop : stop_strings_) {
    for (size_t length = std::min(stop.size() - 1, held_.size()); length > keep && !last; --length) {
      if (held_.ends_with(std::string_view(stop).substr(0, length))) keep = length;
    }
  }
  std::string out = held_.substr(0, held_.size() - keep);
  held_.erase(0, out.size());
  immune_ -= std::min(immune_, out.size());
  return out;
}

// Returns where the first stop string begins in held_, except those that end where none may; notes which.
size_t Detokenizer::find_stop() {
  size_t first = std::string::npos;
  for (const std::string& stop : stop_strings_) {
    const size_t at = held_.find(stop, immune_ < stop.size() ? 0 : immune_ - stop.size() + 1);
    if (at >= first) continue;
    first = at;
    stopped_by_ = stop;
  }
  return first;
}

}  // namespace uhd
