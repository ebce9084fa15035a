// SPDX-License-Identifier: Apache-2.0
// Reading a container's log (keeper/log_writer.h): the rotated files oldest first, then the current one, and
// on as it grows. A line that cannot be read is skipped; the log of a container is never the reason for a
// failure.
#pragma once
#include <deque>
#include <functional>
#include <optional>
#include <string>

#include "base/clock.h"
#include "base/error.h"
#include "base/fd.h"
#include "keeper/log_writer.h"

namespace berth::engine {

struct LogLine {
  keeper::Stream stream = keeper::Stream::output;
  Timestamp time;
  std::string text;  // with its newline, if it has one
};

// One JSON line of the file; nothing when it is not of our making.
std::optional<LogLine> parse_log_line(std::string_view line);

struct LogQuery {
  bool output = true;
  bool errors = true;
  Timestamp since;                    // 0: from the beginning
  Timestamp until;                    // 0: no end
  std::optional<std::uint64_t> tail;  // at most so many of the last lines
  bool follow = false;                // false: with a tail, not what is written once the reading has begun
};

class LogReader {
 public:
  static Result<LogReader> open(const std::string& path, const LogQuery& query);

  // The next line that the query wants; nothing at the present end (call again when the log has grown).
  Result<std::optional<LogLine>> next();
  bool past_until() const noexcept { return past_until_; }

  // To poll for POLLIN while following: the files have changed. Call acknowledge() then.
  int descriptor() const noexcept { return changes_.get(); }
  void acknowledge();

 private:
  LogReader(std::string path, LogQuery query) : path_(std::move(path)), query_(std::move(query)) {}
  Result<void> start();
  Result<bool> refill();  // more bytes from the current file, or the next file; false at the end of all
  bool open_next_file();
  std::string numbered(int number) const;
  bool is_reached(int number) const;  // whether there is a file with that number, or one behind it
  int number_of_oldest() const;
  int number_of_open_file() const;
  bool open_successor(int number);  // -1: rotated away
  void seek_to_tail();

  std::string path_;
  LogQuery query_;
  Fd changes_;
  Fd file_;
  std::string buffered_;
  std::size_t consumed_ = 0;
  bool past_until_ = false;
  std::optional<std::uint64_t> lines_left_;  // of the tail, unless the log is followed
};

}  // namespace berth::engine
