#include "base/utf8.h"

#include <algorithm>

namespace uhd {
namespace {

unsigned char byte_at(std::string_view text, size_t at) { return static_cast<unsigned char>(text[at]); }

// Bytes that the lead byte announces, and the range of the second byte (Unicode table 3-7); 0: no lead byte.
struct Lead {
  size_t bytes = 0;
  unsigned char low = 0x80;
  unsigned char high = 0xbf;
};

Lead lead_of(unsigned char c) {
  if (c < 0x80) return {1};
  if (c < 0xc2) return {0};
  if (c < 0xe0) return {2};
  if (c == 0xe0) return {3, 0xa0};
  if (c == 0xed) return {3, 0x80, 0x9f};
  if (c < 0xf0) return {3};
  if (c == 0xf0) return {4, 0x90};
  if (c < 0xf4) return {4};
  if (c == 0xf4) return {4, 0x80, 0x8f};
  return {0};
}

// Leading bytes that fit a character, of those that are there.
size_t fitting(std::string_view text, size_t at, const Lead& lead) {
  const size_t available = std::min(lead.bytes, text.size() - at);
  size_t fit = std::min<size_t>(1, available);
  while (fit < available) {
    const unsigned char c = byte_at(text, at + fit);
    if (c < (fit == 1 ? lead.low : 0x80) || c > (fit == 1 ? lead.high : 0xbf)) break;
    ++fit;
  }
  return fit;
}

}  // namespace

size_t utf8_length(std::string_view text, size_t at) {
  const Lead lead = lead_of(byte_at(text, at));
  return lead.bytes > 0 && fitting(text, at, lead) == lead.bytes ? lead.bytes : 0;
}

CodePoint utf8_at(std::string_view text, size_t at) {
  const unsigned char c = byte_at(text, at);
  const size_t bytes = std::max<size_t>(1, lead_of(c).bytes);
  uint32_t value = bytes == 1 ? c : c & (0x7fu >> bytes);
  for (size_t i = 1; i < bytes; ++i) value = (value << 6) | (byte_at(text, at + i) & 0x3fu);
  return {value, bytes};
}

void append_utf8(std::string& out, uint32_t c) {
  const auto put = [&](uint32_t byte) { out.push_back(static_cast<char>(byte)); };
  if (c < 0x80) return put(c);
  if (c < 0x800) {
    put(0xc0 | (c >> 6));
  } else {
    if (c < 0x10000) {
      put(0xe0 | (c >> 12));
    } else {
      put(0xf0 | (c >> 18));
      put(0x80 | ((c >> 12) & 0x3f));
    }
    put(0x80 | ((c >> 6) & 0x3f));
  }
  put(0x80 | (c & 0x3f));
}

size_t first_invalid_utf8(std::string_view text) {
  size_t at = 0;
  while (at < text.size()) {
    const size_t bytes = utf8_length(text, at);
    if (bytes == 0) return at;
    at += bytes;
  }
  return at;
}

bool is_utf8(std::string_view text) { return first_invalid_utf8(text) == text.size(); }

size_t count_characters(std::string_view text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), begins_character));
}

size_t utf8_subpart(std::string_view text, size_t at) {
  return std::max<size_t>(1, fitting(text, at, lead_of(byte_at(text, at))));
}

std::string repair_utf8(std::string_view text, Replacement replacement) {
  std::string out;
  out.reserve(text.size());
  Utf8Stream stream(replacement);
  stream.push(text, out);
  stream.finish(out);
  return out;
}

void Utf8Stream::push(std::string_view bytes, std::string& settled) {
  std::string joined;
  if (!unfinished_.empty()) {
    joined = unfinished_;
    joined += bytes;
    bytes = joined;
  }
  size_t at = 0;
  while (at < bytes.size()) {
    const Lead lead = lead_of(byte_at(bytes, at));
    const size_t fit = fitting(bytes, at, lead);
    if (lead.bytes > 0 && fit == lead.bytes) {
      settled.append(bytes, at, fit);
    } else if (lead.bytes > 0 && at + fit == bytes.size()) {
      break;
    } else {
      // per_byte: the bytes after the first are read again; none of them can lead a character.
      replace(std::max<size_t>(1, fit), settled);
    }
    at += std::max<size_t>(1, fit);
  }
  unfinished_ = bytes.substr(at);
  tail_.clear();
  if (!unfinished_.empty()) replace(unfinished_.size(), tail_);
}

void Utf8Stream::finish(std::string& settled) {
  settled += tail_;
  unfinished_.clear();
  tail_.clear();
}

void Utf8Stream::replace(size_t bytes, std::string& out) const {
  const size_t count = replacement_ == Replacement::per_byte ? bytes : 1;
  for (size_t i = 0; i < count; ++i) out += kReplacement;
}

}  // namespace uhd
