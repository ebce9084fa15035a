// SPDX-License-Identifier: Apache-2.0
#include "keeper/log_writer.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>

#include "base/file.h"
#include "base/text.h"

namespace berth::keeper {
namespace {

constexpr std::size_t kWriteSize = 128 * 1024;  // bytes that one write takes to the file
constexpr std::size_t kCalmAppend = 4 * 1024;   // an append below this is no sign of a busy container

// What a byte needs inside a JSON string: 0 nothing, 1 an escape, 2 a check of its UTF-8 sequence.
constexpr auto kByteClass = [] {
  std::array<unsigned char, 256> classes{};
  for (int i = 0; i < 0x20; ++i) classes[static_cast<std::size_t>(i)] = 1;
  classes['"'] = classes['\\'] = 1;
  for (std::size_t i = 0x80; i < 256; ++i) classes[i] = 2;
  return classes;
}();

void append_escape(std::string& out, char byte) {
  switch (byte) {
    case '\n':
      out += "\\n";
      return;
    case '\r':
      out += "\\r";
      return;
    case '\t':
      out += "\\t";
      return;
    case '"':
      out += "\\\"";
      return;
    case '\\':
      out += "\\\\";
      return;
    default:
      break;
  }
  static constexpr char digits[] = "0123456789abcdef";
  const char text[6] = {'\\', 'u', '0', '0', digits[(byte >> 4) & 15], digits[byte & 15]};
  out.append(text, sizeof text);
}

std::size_t sequence_length(unsigned char lead) { return lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2; }

void append_json_text(std::string& out, std::string_view text) {
  std::size_t start = 0;
  for (std::size_t i = 0; i < text.size();) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if (kByteClass[byte] == 0) {
      ++i;
      continue;
    }
    out.append(text, start, i - start);
    std::size_t length = 1;
    if (kByteClass[byte] == 1) {
      append_escape(out, text[i]);
    } else {
      length = std::min(sequence_length(byte), text.size() - i);
      if (valid_utf8(text.substr(i, length))) {
        out.append(text, i, length);
      } else {
        length = 1;
        out += "\\ufffd";
      }
    }
    i += length;
    start = i;
  }
  out.append(text, start);
}

}  // namespace

Result<LogWriter> LogWriter::open(const LogSettings& settings) {
  LogWriter writer(settings);
  if (settings.path.empty()) return writer;
  writer.file_ = TRY(open_file(settings.path, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW, 0640));
  struct stat info;
  if (fstat(writer.file_.get(), &info) != 0) return fail_errno(errno, "inspect {}", settings.path);
  writer.size_ = info.st_size;
  return writer;
}

void LogWriter::append(Stream stream, std::string_view data, Timestamp time) {
  if (settings_.path.empty()) return;
  const bool calm = data.size() < kCalmAppend;
  time_ = format_time(time);
  std::string& partial = partial_[stream == Stream::errors];
  while (!data.empty()) {
    const std::size_t room = kMaximumLogLine - partial.size();
    const std::size_t newline = data.substr(0, room).find('\n');
    if (newline == std::string_view::npos && data.size() < room) {
      partial.append(data);
      break;
    }
    std::string_view piece = data.substr(0, newline == std::string_view::npos ? room : newline + 1);
    data.remove_prefix(piece.size());
    if (partial.empty()) {
      encode_line(stream, piece);
    } else {
      partial.append(piece);
      encode_line(stream, partial);
      partial.clear();
    }
    if (encoded_.size() > kWriteSize) write_out();
  }
  write_out();
  // A busy log keeps its buffer, since getting it anew for every read costs more than the encoding; a calm
  // one, which most containers have, gives it back.
  if (calm && encoded_.capacity() > kCalmAppend * 4) encoded_.shrink_to_fit();
}

void LogWriter::finish(Timestamp time) {
  if (settings_.path.empty()) return;
  time_ = format_time(time);
  for (Stream stream : {Stream::output, Stream::errors}) {
    std::string& partial = partial_[stream == Stream::errors];
    if (!partial.empty()) encode_line(stream, partial);
    partial.clear();
  }
  write_out();
}

void LogWriter::encode_line(Stream stream, std::string_view line) {
  if (settings_.maximum_size > 0 &&
      size_ + static_cast<std::int64_t>(encoded_.size()) >= settings_.maximum_size) {
    write_out();
    if (size_ >= settings_.maximum_size) (void)rotate();  // if that fails: goes on in the file that is open
  }
  encoded_ += R"({"log":")";
  append_json_text(encoded_, line);
  encoded_ +=
      stream == Stream::output ? R"(","stream":"stdout","time":")" : R"(","stream":"stderr","time":")";
  encoded_ += time_;
  encoded_ += "\"}\n";
}

void LogWriter::write_out() {
  if (encoded_.empty()) return;
  Result<void> written = write_all(file_.get(), encoded_);
  if (written) {
    size_ += static_cast<std::int64_t>(encoded_.size());
  } else {
    // What was written of it may end in the middle of a line. Cut it off, so that every line of the file is
    // whole.
    dropped_ += encoded_.size();
    if (ftruncate(file_.get(), size_) != 0) {
      struct stat info;
      if (fstat(file_.get(), &info) == 0) size_ = info.st_size;
    }
  }
  encoded_.clear();
}

Result<void> LogWriter::rotate() {
  auto numbered = [&](int number) {
    return number == 0 ? settings_.path : fmt::format("{}.{}", settings_.path, number);
  };
  if (settings_.maximum_files <= 1) {
    if (ftruncate(file_.get(), 0) != 0) return fail_errno(errno, "empty {}", settings_.path);
    size_ = 0;
    return {};
  }
  for (int number = settings_.maximum_files - 2; number >= 0; --number)
    if (std::rename(numbered(number).c_str(), numbered(number + 1).c_str()) != 0 && errno != ENOENT)
      return fail_errno(errno, "rename {}", numbered(number));
  file_ = TRY(open_file(settings_.path, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW, 0640));
  size_ = 0;
  return {};
}

}  // namespace berth::keeper
