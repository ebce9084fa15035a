// SPDX-License-Identifier: Apache-2.0
// Log lines on standard error: "2026-01-02T03:04:05.678Z WARN engine: text". One write(2) a line, so lines of
// several threads and processes don't mix. The level is process-wide and set once, at start.
#pragma once
#include <fmt/core.h>

#include <string_view>

namespace berth {

enum class LogLevel { debug, info, warning, error };

void set_log_level(LogLevel level) noexcept;
bool log_enabled(LogLevel level) noexcept;
void log_line(LogLevel level, std::string_view room, fmt::string_view format, fmt::format_args arguments);

template <class... Args>
void log_debug(std::string_view room, fmt::format_string<Args...> format, Args&&... arguments) {
  if (log_enabled(LogLevel::debug))
    log_line(LogLevel::debug, room, format, fmt::make_format_args(arguments...));
}
template <class... Args>
void log_info(std::string_view room, fmt::format_string<Args...> format, Args&&... arguments) {
  if (log_enabled(LogLevel::info))
    log_line(LogLevel::info, room, format, fmt::make_format_args(arguments...));
}
template <class... Args>
void log_warning(std::string_view room, fmt::format_string<Args...> format, Args&&... arguments) {
  log_line(LogLevel::warning, room, format, fmt::make_format_args(arguments...));
}
template <class... Args>
void log_error(std::string_view room, fmt::format_string<Args...> format, Args&&... arguments) {
  log_line(LogLevel::error, room, format, fmt::make_format_args(arguments...));
}

}  // namespace berth
