// SPDX-License-Identifier: Apache-2.0
// Wall-clock time as nanoseconds since the epoch, and its text form: RFC 3339 in UTC with up to nine digits
// of a second, as the Docker Engine API writes it. Durations use std::chrono and the steady clock.
#pragma once
#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"

namespace berth {

struct Timestamp {
  std::int64_t nanoseconds = 0;  // since 1970-01-01T00:00:00Z; 0 stands for "never"
  auto operator<=>(const Timestamp&) const = default;
  explicit operator bool() const noexcept { return nanoseconds != 0; }
};

Timestamp now() noexcept;

// "2026-01-02T03:04:05.678901234Z", trailing zeros of the fraction dropped; never is "0001-01-01T00:00:00Z".
std::string format_time(Timestamp time);
// The same with all nine digits, so that columns of log lines align.
std::string format_time_fixed(Timestamp time);

// RFC 3339 with any offset, or without a zone (UTC), or a date alone.
Result<Timestamp> parse_time(std::string_view text);

// What --since and --until take: RFC 3339, seconds since the epoch with an optional fraction, or a Go
// duration
// ("1h30m") before `reference`.
Result<Timestamp> parse_time_or_ago(std::string_view text, Timestamp reference);

// Go's duration grammar: "300ms", "1h2m3.5s", "-5s"; a bare "0" too.
Result<std::chrono::nanoseconds> parse_duration(std::string_view text);
std::string format_duration(std::chrono::nanoseconds duration);  // as Go prints it: "1m30s"

}  // namespace berth
