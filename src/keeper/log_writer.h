// SPDX-License-Identifier: Apache-2.0
// A container's log in Docker's json-file format: one JSON object a line,
// {"log":"text\n","stream":"stdout","time":
// "<RFC 3339>"}. A line longer than 16 KiB becomes several objects, of which only the last one's text ends in
// a newline. Files rotate: path, path.1, ..., path.<maximum - 1>, oldest last.
//
// A full disk loses log lines, never the container: the writer counts what it dropped and goes on.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/error.h"
#include "base/fd.h"
#include "keeper/settings.h"

namespace berth::keeper {

enum class Stream { output = 1, errors = 2 };  // the numbers of Docker's multiplexed stream

inline constexpr std::size_t kMaximumLogLine = 16 * 1024;

class LogWriter {
 public:
  // An empty path gives a writer that keeps nothing. Goes on at the end of a file that is there.
  static Result<LogWriter> open(const LogSettings& settings);

  void append(Stream stream, std::string_view data, Timestamp time);
  void finish(Timestamp time);  // writes what is left of lines without an end

  std::uint64_t dropped_bytes() const noexcept { return dropped_; }

 private:
  explicit LogWriter(LogSettings settings) : settings_(std::move(settings)) {}
  void encode_line(Stream stream, std::string_view line);
  void write_out();
  Result<void> rotate();

  LogSettings settings_;
  Fd file_;
  std::int64_t size_ = 0;
  std::string encoded_;     // lines of this append, written with one call
  std::string time_;        // the JSON tail of this append's lines
  std::string partial_[2];  // a line's beginning, by stream
  std::uint64_t dropped_ = 0;
};

}  // namespace berth::keeper
