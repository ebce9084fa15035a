// SPDX-License-Identifier: Apache-2.0
#include "base/log.h"

#include <unistd.h>

#include <atomic>
#include <string>

#include "base/clock.h"

namespace berth {
namespace {

std::atomic<LogLevel> threshold{LogLevel::info};

constexpr std::string_view name_of(LogLevel level) {
  switch (level) {
    case LogLevel::debug:
      return "DEBUG";
    case LogLevel::info:
      return "INFO";
    case LogLevel::warning:
      return "WARN";
    case LogLevel::error:
      return "ERROR";
  }
  return "?";
}

}  // namespace

void set_log_level(LogLevel level) noexcept { threshold.store(level, std::memory_order_relaxed); }
bool log_enabled(LogLevel level) noexcept { return level >= threshold.load(std::memory_order_relaxed); }

void log_line(LogLevel level, std::string_view room, fmt::string_view format, fmt::format_args arguments) {
  if (!log_enabled(level)) return;
  std::string line = fmt::format("{} {} {}: ", format_time(now()), name_of(level), room);
  std::size_t start = line.size();
  line += fmt::vformat(format, arguments);
  for (std::size_t i = start; i < line.size(); ++i)  // one line a message, whatever a client put into a name
    if (static_cast<unsigned char>(line[i]) < 0x20) line[i] = ' ';
  line += '\n';
  (void)!::write(STDERR_FILENO, line.data(), line.size());
}

}  // namespace berth
