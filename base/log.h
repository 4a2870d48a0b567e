// Writes one-line logs: time, rank, level, message, key=value pairs. spdlog stays behind this header.
// log_info("request finished", "id", 7, "tokens", 31) prints: ... I request finished id=7 tokens=31
// or, as JSON: {"time":"...","who":"...","level":"info","message":"request finished","id":7,"tokens":31}
//
// A caller that logs never waits for the reader (base/line_writer.h). Values may come from anywhere: every
// character that could end a line, forge a pair or steer a terminal is escaped, and long values are cut.
#pragma once

#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <type_traits>

#include "base/clock.h"

namespace uhd {

enum class LogLevel { debug, info, warning, error };
enum class LogFormat { text, json };

// `who` names the process, for example "llm0" or "encoder1". init_log may be called again when more is known.
void init_log(LogLevel lowest, const std::string& who);
void set_log_level(LogLevel lowest);
void set_log_name(const std::string& who);
void set_log_format(LogFormat format);
LogLevel log_level();
bool log_enabled(LogLevel level);
void write_log(LogLevel level, const std::string& line);

// Waits a moment until everything logged and printed is written. Call it before the process ends without its
// exit handlers, which do the same.
void flush_log();

// print_error writes a line to stderr, behind what was logged ("uhd: no such file"); print_line writes one to
// stdout. Neither waits. Control characters are escaped.
void print_error(const std::string& line);
void print_line(const std::string& line);

// Says whether a StatusLine is of use: people read stderr, on a terminal.
bool shows_status();

// A line below everything that is logged. Each text is written over the one before; an empty one takes the
// line away, as the object does when it goes. There is one at a time.
class StatusLine {
 public:
  StatusLine() = default;
  ~StatusLine();
  StatusLine(const StatusLine&) = delete;
  StatusLine& operator=(const StatusLine&) = delete;

  void show(const std::string& text);

 private:
  bool shown_ = false;
};

// Returns the text with everything escaped that could end a line or steer a terminal: control characters,
// characters that turn the direction of writing, and bytes that are no UTF-8 become \n, \t, \x1b ...
std::string printable(std::string_view text);
// Returns the text escaped as the value of a pair: in quotes where it holds spaces, quotes or equals signs,
// and cut where it is long.
std::string log_value(std::string_view text);

// Returns the text as a JSON string, cut where it is long; bytes that are no UTF-8 become U+FFFD.
std::string json_value(std::string_view text);

// A LogLine gathers a message and its pairs in one format.
class LogLine {
 public:
  LogLine(LogFormat format, std::string_view text);
  template <class T>
  void add(std::string_view key, const T& value) {
    if constexpr (std::is_same_v<T, bool>) {
      add_plain(key, value ? "true" : "false");
    } else if constexpr (std::is_convertible_v<const T&, std::string_view>) {
      add_text(key, value);
    } else {
      std::ostringstream text;
      text << value;
      // JSON has no word for numbers that are none.
      const bool number = std::is_arithmetic_v<T> && text.str().find_first_of("nN") == std::string::npos;
      number ? add_plain(key, text.str()) : add_text(key, text.str());
    }
  }
  const std::string& text() const { return line_; }

 private:
  void add_plain(std::string_view key, std::string_view value);
  void add_text(std::string_view key, std::string_view text);

  const LogFormat format_;
  std::string line_;
};
LogFormat log_format();

inline void add_pairs(LogLine&) {}
template <class Value, class... Pairs>
void add_pairs(LogLine& line, std::string_view key, const Value& value, const Pairs&... pairs) {
  line.add(key, value);
  add_pairs(line, pairs...);
}

template <class... Pairs>
void log(LogLevel level, std::string_view text, const Pairs&... pairs) {
  if (!log_enabled(level)) return;
  LogLine line(log_format(), text);
  add_pairs(line, pairs...);
  write_log(level, line.text());
}
template <class... Pairs>
void log_debug(std::string_view text, const Pairs&... pairs) {
  log(LogLevel::debug, text, pairs...);
}
template <class... Pairs>
void log_info(std::string_view text, const Pairs&... pairs) {
  log(LogLevel::info, text, pairs...);
}
template <class... Pairs>
void log_warning(std::string_view text, const Pairs&... pairs) {
  log(LogLevel::warning, text, pairs...);
}
template <class... Pairs>
void log_error(std::string_view text, const Pairs&... pairs) {
  log(LogLevel::error, text, pairs...);
}

// Limits lines that strangers can cause as often as they like: it lets a few through in each span of time.
class LogQuota {
 public:
  LogQuota(int most, Duration span) : most_(most), span_(span) {}
  // Returns nothing if the caller must not log now; otherwise returns how many lines were left out since the
  // last one.
  std::optional<int> take(TimePoint now);

 private:
  int most_;
  Duration span_;
  TimePoint begin_{};
  int taken_ = 0;
  int left_out_ = 0;
};

}  // namespace uhd
