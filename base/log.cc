#include "base/log.h"

#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "base/line_writer.h"
#include "base/utf8.h"

namespace uhd {
namespace {

constexpr size_t kLongestValue = 1000;  // bytes
constexpr Duration kLastWords = std::chrono::seconds(1);

std::atomic<LogLevel> lowest_level{LogLevel::info};
std::atomic<LogFormat> chosen_format{LogFormat::text};
std::atomic<bool> printed{false};  // anything, to stdout

// Made when first used, and kept until the process ends.
LineWriter& errors() {
  static auto* writer = [] {
    std::atexit(flush_log);
    return new LineWriter(STDERR_FILENO);
  }();
  return *writer;
}
LineWriter& output() {
  static auto* writer = [] {
    std::atexit(flush_log);
    return new LineWriter(STDOUT_FILENO);
  }();
  return *writer;
}

class Sink final : public spdlog::sinks::base_sink<std::mutex> {
  void sink_it_(const spdlog::details::log_msg& message) override {
    spdlog::memory_buf_t line;
    formatter_->format(message, line);
    errors().write({line.data(), line.size()});
  }
  void flush_() override {}
};

std::unique_ptr<spdlog::formatter> format(const std::string& who) {
  std::string pattern = "%Y-%m-%dT%H:%M:%S.%e " + (who.empty() ? "" : who + " ") + "%L %v";
  if (log_format() == LogFormat::json) {
    pattern = R"({"time":"%Y-%m-%dT%H:%M:%S.%e%z","who":)" + json_value(who) + R"(,"level":"%l",%v})";
  }
  return std::make_unique<spdlog::pattern_formatter>(pattern, spdlog::pattern_time_type::local, "");
}

spdlog::level::level_enum to_spdlog(LogLevel level) {
  switch (level) {
    case LogLevel::debug:
      return spdlog::level::debug;
    case LogLevel::info:
      return spdlog::level::info;
    case LogLevel::warning:
      return spdlog::level::warn;
    case LogLevel::error:
      return spdlog::level::err;
  }
  return spdlog::level::info;
}

spdlog::logger& logger() {
  static auto instance = [] {
    auto made = std::make_shared<spdlog::logger>("uhd", std::make_shared<Sink>());
    made->set_formatter(format(""));
    made->set_level(spdlog::level::debug);
    return made;
  }();
  return *instance;
}

// Written while the process starts, before it has other threads.
std::string& log_name() {
  static std::string name;
  return name;
}

// Ends a line, or steers what shows it.
bool is_control(uint32_t code) {
  const auto within = [&](uint32_t first, uint32_t last) { return code >= first && code <= last; };
  return code < 0x20 || within(0x7f, 0x9f) || within(0x200e, 0x200f) || within(0x2028, 0x202e) ||
         within(0x2066, 0x2069) || code == 0xfeff;
}

void append_escaped(std::string& out, char byte) {
  constexpr std::string_view kHex = "0123456789abcdef";
  const auto value = static_cast<uint8_t>(byte);
  if (byte == '\n') {
    out += "\\n";
  } else if (byte == '\t') {
    out += "\\t";
  } else if (byte == '\r') {
    out += "\\r";
  } else {
    out += "\\x";
    out += kHex[value >> 4];
    out += kHex[value & 15];
  }
}

// If `quotes` is true, characters that would end a quoted text are escaped too.
std::string escaped(std::string_view text, bool quotes) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const size_t length = utf8_length(text, 0);
    const uint32_t code = length == 0 ? 0 : utf8_at(text, 0).value;
    const std::string_view taken = text.substr(0, std::max<size_t>(length, 1));
    if (length == 0 || is_control(code)) {
      for (char byte : taken) append_escaped(out, byte);
    } else {
      if (quotes && (code == '"' || code == '\\')) out += '\\';
      out += taken;
    }
    text.remove_prefix(taken.size());
  }
  return out;
}

}  // namespace

void init_log(LogLevel lowest, const std::string& who) {
  set_log_level(lowest);
  set_log_name(who);
}

void set_log_level(LogLevel lowest) { lowest_level = lowest; }
void set_log_name(const std::string& who) {
  log_name() = who;
  logger().set_formatter(format(who));
}
void set_log_format(LogFormat format) {
  chosen_format = format;
  set_log_name(log_name());
}
LogFormat log_format() { return chosen_format.load(std::memory_order_relaxed); }
LogLevel log_level() { return lowest_level.load(std::memory_order_relaxed); }
bool log_enabled(LogLevel level) { return level >= log_level(); }

void write_log(LogLevel level, const std::string& line) { logger().log(to_spdlog(level), line); }

void flush_log() {
  if (printed) output().flush(kLastWords);
  errors().flush(kLastWords);
}

void print_error(const std::string& line) {
  errors().write(printable(line));
  errors().flush(kLastWords);
}

void print_line(const std::string& line) {
  printed = true;
  output().write(printable(line));
}

bool shows_status() { return log_format() == LogFormat::text && isatty(STDERR_FILENO) == 1; }

StatusLine::~StatusLine() {
  if (shown_) errors().show_status("");
}

void StatusLine::show(const std::string& text) {
  shown_ = true;
  errors().show_status(printable(text));
}

std::string printable(std::string_view text) { return escaped(text, false); }

std::string log_value(std::string_view text) {
  const bool quotes = text.find_first_of(" \"=\\") != std::string_view::npos;
  std::string value = escaped(text.substr(0, kLongestValue), quotes);
  if (text.size() > kLongestValue) value += "...";
  return quotes ? '"' + value + '"' : value;
}

std::string json_value(std::string_view text) {
  const std::string valid = repair_utf8(text.substr(0, kLongestValue), Replacement::per_byte);
  std::string out = "\"";
  for (std::string_view rest = valid; !rest.empty();) {
    const std::string_view taken = rest.substr(0, utf8_length(rest, 0));
    const uint32_t code = utf8_at(rest, 0).value;
    if (is_control(code)) {
      char escape[8];
      std::snprintf(escape, sizeof(escape), "\\u%04x", code);
      out += escape;
    } else {
      if (code == '"' || code == '\\') out += '\\';
      out += taken;
    }
    rest.remove_prefix(taken.size());
  }
  return out + (text.size() > kLongestValue ? "...\"" : "\"");
}

LogLine::LogLine(LogFormat format, std::string_view text) : format_(format) {
  line_ = format == LogFormat::json ? "\"message\":" + json_value(text) : printable(text);
}

void LogLine::add_plain(std::string_view key, std::string_view value) {
  if (format_ == LogFormat::json) {
    line_.append(",").append(json_value(key)).append(":");
  } else {
    line_.append(" ").append(key).append("=");
  }
  line_ += value;
}

void LogLine::add_text(std::string_view key, std::string_view text) {
  add_plain(key, format_ == LogFormat::json ? json_value(text) : log_value(text));
}

std::optional<int> LogQuota::take(TimePoint now) {
  if (now - begin_ >= span_) {
    begin_ = now;
    taken_ = 0;
  }
  if (taken_ >= most_) {
    ++left_out_;
    return std::nullopt;
  }
  ++taken_;
  return std::exchange(left_out_, 0);
}

}  // namespace uhd
