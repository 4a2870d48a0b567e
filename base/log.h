// One-line logs: time, rank, level, message, key=value pairs. spdlog stays behind this header.
// log_info("request finished", "id", 7, "tokens", 31) prints: ... I request finished id=7 tokens=31
#pragma once

#include <sstream>
#include <string>
#include <string_view>

namespace uhd {

enum class LogLevel { debug, info, warning, error };

// Call once at start. `who` names the process, for example "llm0" or "encoder1".
void init_log(LogLevel lowest, const std::string& who);
bool log_enabled(LogLevel level);
void write_log(LogLevel level, const std::string& line);

template <class... Pairs>
void log(LogLevel level, std::string_view text, const Pairs&... pairs) {
  if (!log_enabled(level)) return;
  std::ostringstream line;
  line << text;
  bool key = true;
  ((key ? line << ' ' << pairs << '=' : line << pairs, key = !key), ...);
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

}  // namespace uhd
