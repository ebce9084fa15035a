// SPDX-License-Identifier: Apache-2.0
#include "proxy/worker/access_log.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <time.h>
#include <unistd.h>

#include <iterator>

#include "base/file.h"

namespace berth::proxy {
namespace {

constexpr std::size_t kAtOnce = 32u << 10;

// A quote that a client sends must not end the field, nor a line forge another.
void append_quoted(std::string& out, std::string_view text) {
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\' || byte < 0x20 || byte == 0x7f)
      fmt::format_to(std::back_inserter(out), "\\x{:02x}", byte);
    else
      out.push_back(c);
  }
}

}  // namespace

Result<void> AccessLog::open() {
  if (path_.empty()) return {};
  file_ = TRY_AS("server.accessLog", open_file(path_, O_WRONLY | O_CREAT | O_APPEND, 0640));
  return {};
}

std::string_view AccessLog::time_now() {
  timespec now;
  clock_gettime(CLOCK_REALTIME_COARSE, &now);
  if (now.tv_sec == time_second_) return time_text_;
  time_second_ = now.tv_sec;
  tm parts;
  gmtime_r(&now.tv_sec, &parts);
  char text[64];
  time_text_.assign(text, strftime(text, sizeof text, "%d/%b/%Y:%H:%M:%S +0000", &parts));
  return time_text_;
}

void AccessLog::add(const LogLine& line) {
  if (!file_) return;
  const auto out = std::back_inserter(lines_);
  fmt::format_to(out, "{} - - [{}] \"{} ", line.client, time_now(), line.method);
  append_quoted(lines_, line.target);
  fmt::format_to(out, " HTTP/{}.{}\" {} {} \"", line.major_version,
                 line.major_version == 1 ? line.minor_version : 0, line.status, line.bytes);
  append_quoted(lines_, line.referrer);
  lines_ += "\" \"";
  append_quoted(lines_, line.agent);
  lines_ += "\" \"";
  append_quoted(lines_, line.id.empty() ? line.host : line.id);
  fmt::format_to(out, "\" {:.3f} {:.3f}\n", line.total, line.backend);
  if (lines_.size() >= kAtOnce) write_out();
}

void AccessLog::write_out() {
  if (lines_.empty()) return;
  if (::write(file_.get(), lines_.data(), lines_.size()) < 0) {
    // Lost, as said in the header.
  }
  lines_.clear();
}

}  // namespace berth::proxy
