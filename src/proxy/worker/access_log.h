// SPDX-License-Identifier: Apache-2.0
// Hipache's access log, one line a request:
//
//   ip - - [02/Jan/2026:03:04:05 +0000] "GET /x HTTP/1.1" 200 bytes "referrer" "agent" "vhost id" total
//   backend
//
// the times in seconds. Lines are gathered and appended in one write(2) each round or two, so that those of
// several workers do not mix. A disk that is full loses lines, and no request waits for it.
#pragma once
#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/fd.h"

namespace berth::proxy {

struct LogLine {
  std::string_view client, method, target, referrer, agent, host, id;
  int major_version = 1, minor_version = 1;
  int status = 0;
  std::uint64_t bytes = 0;
  double total = 0, backend = 0;
};

class AccessLog {
 public:
  explicit AccessLog(std::string path) : path_(std::move(path)) {}  // empty: none
  Result<void> open();  // again, too: at the path there is another file now

  void add(const LogLine& line);
  void write_out();
  bool has_lines() const noexcept { return !lines_.empty(); }

 private:
  std::string_view time_now();

  std::string path_;
  Fd file_;
  std::string lines_;
  std::int64_t time_second_ = 0;
  std::string time_text_;
};

}  // namespace berth::proxy
