// Writes one-line logs: time, rank, level, message, key=value pairs. spdlog stays behind this header.
// log_info("request finished", "id", 7, "tokens", 31) prints: ... I request finished id=7 tokens=31
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

// `who` names the process, for example "llm0" or "encoder1". init_log may be called again when more is known.
void init_log(LogLevel lowest, const std::string& who);
void set_log_level(LogLevel lowest);
void set_log_name(const std::string& who);
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

// Returns the text with everything escaped that could end a line or steer a terminal: control characters,
// characters that turn the direction of writing, and bytes that are no UTF-8 become \n, \t, \x1b ...
std::string printable(std::string_view text);
// Returns the text escaped as the value of a pair: in quotes where it holds spaces, quotes or equals signs,
// and cut where it is long.
std::string log_value(std::string_view text);

template <class T>
void append_log_value(std::ostringstream& line, const T& value) {
  if constexpr (std::is_arithmetic_v<T>) {
    line << value;
  } else if constexpr (std::is_convertible_v<const T&, std::string_view>) {
    line << log_value(value);
  } else {
    std::ostringstream text;
    text << value;
    line << log_value(text.str());
  }
}

template <class... Pairs>
void log(LogLevel level, std::string_view text, const Pairs&... pairs) {
  if (!log_enabled(level)) return;
  std::ostringstream line;
  line << printable(text);
  bool key = true;
  [[maybe_unused]] const auto append = [&](const auto& part) {
    if (key) {
      line << ' ' << part << '=';
    } else {
      append_log_value(line, part);
    }
    key = !key;
  };
  (append(pairs), ...);
  write_log(level, line.str());
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
