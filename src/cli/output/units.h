// SPDX-License-Identifier: Apache-2.0
// Times, sizes and names as tables show them.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "base/clock.h"

namespace berth::cli {

std::string human_duration(std::chrono::nanoseconds duration);  // "About an hour", "3 weeks"
std::string ago(Timestamp time);                                // the same since then, and " ago"
std::string local_time(std::int64_t seconds);                   // "2026-01-02 03:04:05 +0000 UTC"
std::string local_rfc3339(Timestamp time, bool nanoseconds);  // "2026-01-02T03:04:05.000000000Z", local zone
std::string shorten(std::string_view text, std::size_t width);  // the end replaced by an ellipsis
std::string short_id(std::string_view id);                      // twelve digits, without "sha256:"
std::string in_quotes(std::string_view text);                   // in double quotes, escaped

// "2026-01-02T03:04:05.6Z" as Go prints a time: "2026-01-02 03:04:05.6 +0000 UTC". What is no time stays.
std::string go_time(const std::string& rfc3339);

}  // namespace berth::cli
