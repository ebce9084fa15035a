// SPDX-License-Identifier: Apache-2.0
#include "engine/log_reader.h"

#include <fcntl.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <vector>

#include "base/file.h"
#include "base/text.h"

namespace berth::engine {
namespace {

constexpr std::size_t kChunk = 256 * 1024;
constexpr int kMaximumFiles = 1000;
constexpr int kMostLooks = 100;  // for the oldest file, while the writer rotates

void append_utf8(std::string& out, std::uint32_t code) {
  if (code < 0x80) {
    out += static_cast<char>(code);
  } else if (code < 0x800) {
    out += static_cast<char>(0xc0 | code >> 6);
    out += static_cast<char>(0x80 | (code & 0x3f));
  } else {
    out += static_cast<char>(0xe0 | code >> 12);
    out += static_cast<char>(0x80 | (code >> 6 & 0x3f));
    out += static_cast<char>(0x80 | (code & 0x3f));
  }
}

// The text of a JSON string without its quotes. The writer needs no surrogate pairs and makes none.
std::optional<std::string> unescape(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t escape = text.find('\\', i);
    out.append(text.substr(i, escape - i));
    if (escape == std::string_view::npos) break;
    if (escape + 1 >= text.size()) return std::nullopt;
    i = escape + 2;
    switch (text[escape + 1]) {
      case 'n':
        out += '\n';
        break;
      case 'r':
        out += '\r';
        break;
      case 't':
        out += '\t';
        break;
      case 'b':
        out += '\b';
        break;
      case 'f':
        out += '\f';
        break;
      case '"':
      case '\\':
      case '/':
        out += text[escape + 1];
        break;
      case 'u': {
        auto code = parse_integer<std::uint32_t>(text.substr(i, 4), 16);
        if (!code || i + 4 > text.size()) return std::nullopt;
        append_utf8(out, *code);
        i += 4;
        break;
      }
      default:
        return std::nullopt;
    }
  }
  return out;
}

bool same_file(int fd, const std::string& path) {
  struct stat opened, named;
  return fstat(fd, &opened) == 0 && stat(path.c_str(), &named) == 0 && opened.st_ino == named.st_ino &&
         opened.st_dev == named.st_dev;
}

}  // namespace

std::optional<LogLine> parse_log_line(std::string_view line) {
  // The three members come in the writer's order; the text may hold anything, so the others are found from
  // the end.
  constexpr std::string_view head = R"({"log":")", time_head = R"(,"time":")",
                             stream_head = R"(","stream":")";
  if (!line.starts_with(head) || !line.ends_with("\"}")) return std::nullopt;
  const std::size_t time_at = line.rfind(time_head);
  if (time_at == std::string_view::npos) return std::nullopt;
  const std::size_t stream_at = line.rfind(stream_head, time_at);
  if (stream_at == std::string_view::npos || stream_at < head.size()) return std::nullopt;
  std::string_view time = line.substr(time_at + time_head.size());
  time.remove_suffix(2);
  std::string_view stream = line.substr(stream_at + stream_head.size());
  stream = stream.substr(0, stream.find('"'));
  Result<Timestamp> parsed = parse_time(time);
  std::optional<std::string> text = unescape(line.substr(head.size(), stream_at - head.size()));
  if (!parsed || !text) return std::nullopt;
  return LogLine{stream == "stderr" ? keeper::Stream::errors : keeper::Stream::output, *parsed,
                 std::move(*text)};
}

Result<LogReader> LogReader::open(const std::string& path, const LogQuery& query) {
  LogReader reader(path, query);
  reader.changes_ = Fd(inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (!reader.changes_) return fail_errno(errno, "watch the log");
  // The directory as well: that is where a rotated file's successor appears.
  const std::string directory = path.substr(0, path.rfind('/'));
  inotify_add_watch(reader.changes_.get(), directory.c_str(),
                    IN_MODIFY | IN_CREATE | IN_MOVED_TO | IN_ONLYDIR);
  TRY(reader.start());
  return reader;
}

std::string LogReader::numbered(int number) const {
  return number == 0 ? path_ : fmt::format("{}.{}", path_, number);
}

Result<void> LogReader::start() {
  if (query_.tail) {
    if (!query_.follow) lines_left_ = query_.tail;
    seek_to_tail();
    return {};
  }
  // A rotation between finding the oldest file and opening it leaves one behind that is older: again then. A
  // writer that rotates faster than that has dropped those lines before anybody could read them.
  for (int attempt = 0; attempt < kMostLooks; ++attempt) {
    file_.reset();
    const int oldest = number_of_oldest();
    int number = oldest;
    for (; number >= 0 && !file_; --number)
      if (Result<Fd> opened = open_file(numbered(number), O_RDONLY | O_NOFOLLOW)) file_ = std::move(*opened);
    if (!is_reached(oldest + 1)) break;
  }
  return {};
}

// A rotation renames the oldest first, so that one number is free at any moment of it: behind it the files go
// on.
bool LogReader::is_reached(int number) const {
  return exists(numbered(number)) || exists(numbered(number + 1));
}

int LogReader::number_of_oldest() const {
  int oldest = 0;
  while (oldest < kMaximumFiles && is_reached(oldest + 1)) ++oldest;
  return oldest;
}

// Goes through the files from the newest line backwards until enough lines lie behind it.
void LogReader::seek_to_tail() {
  std::uint64_t wanted = *query_.tail;
  std::array<char, 64 * 1024> chunk;
  for (int number = 0; number <= kMaximumFiles; ++number) {
    Result<Fd> opened = open_file(numbered(number), O_RDONLY | O_NOFOLLOW);
    if (!opened && is_reached(number)) continue;
    if (!opened) return;
    file_ = std::move(*opened);
    off_t end = lseek(file_.get(), 0, SEEK_END);
    if (wanted == 0) return;
    for (off_t at = end; at > 0;) {
      const auto size = static_cast<std::size_t>(std::min<off_t>(at, chunk.size()));
      at -= static_cast<off_t>(size);
      if (pread(file_.get(), chunk.data(), size, at) != static_cast<ssize_t>(size)) return;
      for (std::size_t i = size; i-- > 0;) {
        // The newline at the very end closes the last line; every other one has a wanted line behind it.
        if (chunk[i] != '\n' || at + static_cast<off_t>(i) + 1 == end) continue;
        if (--wanted == 0) {
          lseek(file_.get(), at + static_cast<off_t>(i) + 1, SEEK_SET);
          return;
        }
      }
    }
    lseek(file_.get(), 0, SEEK_SET);
    if (end > 0) --wanted;  // its first line
    if (wanted == 0) return;
  }
}

int LogReader::number_of_open_file() const {
  for (int number = 0; number <= kMaximumFiles; ++number) {
    if (same_file(file_.get(), numbered(number))) return number;
    if (number > 0 && !is_reached(number)) break;
  }
  return -1;
}

bool LogReader::open_next_file() {
  if (!file_) {
    Result<Fd> opened = open_file(path_, O_RDONLY | O_NOFOLLOW);
    if (opened) file_ = std::move(*opened);
    return static_cast<bool>(file_);
  }
  for (int look = 0; look < kMostLooks; ++look) {
    const int number = number_of_open_file();
    const off_t position = lseek(file_.get(), 0, SEEK_CUR);
    struct stat info {};
    if (fstat(file_.get(), &info) != 0) return false;
    if (number == 0) {  // still the current one
      if (info.st_size >= position) return false;
      buffered_.clear();  // a log of one file has started over
      return lseek(file_.get(), 0, SEEK_SET) == 0;
    }
    // Lines that came between the last read and the rotation. No more will come: it is not the current file
    // any more.
    if (info.st_size > position || open_successor(number)) return true;
  }
  return false;
}

// A rotation is under way, or one was broken off, where the number below ours is free: then it is the next
// one below. False when it went on meanwhile: look again.
bool LogReader::open_successor(int number) {
  // Rotated out of existence: go on with the oldest that is left.
  int successor = number < 0 ? number_of_oldest() : number - 1;
  while (successor > 0 && !exists(numbered(successor))) --successor;
  Result<Fd> opened = open_file(numbered(successor), O_RDONLY | O_NOFOLLOW);
  if (!opened) return false;
  // Files are renamed from the oldest on: if ours has its number still, and nothing has come between, then
  // what was opened is what has followed it.
  if (number > 0 && !same_file(file_.get(), numbered(number))) return false;
  for (int between = successor + 1; between < number; ++between)
    if (exists(numbered(between))) return false;
  file_ = std::move(*opened);
  return true;
}

Result<bool> LogReader::refill() {
  buffered_.erase(0, consumed_);
  consumed_ = 0;
  for (int attempt = 0; attempt < 2; ++attempt) {
    if (file_) {
      const std::size_t before = buffered_.size();
      buffered_.resize(before + kChunk);
      Result<std::size_t> got = read_some(file_.get(), std::span(buffered_).subspan(before));
      buffered_.resize(before + (got ? *got : 0));
      if (!got) return std::unexpected(std::move(got).error());
      if (*got > 0) return true;
    }
    if (!open_next_file()) return false;
  }
  return false;
}

Result<std::optional<LogLine>> LogReader::next() {
  while (!past_until_) {
    if (lines_left_ == 0) return std::nullopt;
    const std::size_t newline = buffered_.find('\n', consumed_);
    if (newline == std::string::npos) {
      bool more = TRY(refill());
      if (!more) return std::nullopt;
      continue;
    }
    std::optional<LogLine> line =
        parse_log_line(std::string_view(buffered_).substr(consumed_, newline - consumed_));
    consumed_ = newline + 1;
    if (lines_left_) --*lines_left_;
    if (!line || line->time < query_.since) continue;
    if (query_.until && line->time > query_.until) {
      past_until_ = true;
      break;
    }
    if (line->stream == keeper::Stream::errors ? query_.errors : query_.output) return line;
  }
  return std::nullopt;
}

void LogReader::acknowledge() {
  std::array<char, 4096> ignored;
  while (::read(changes_.get(), ignored.data(), ignored.size()) > 0) {
  }
}

}  // namespace berth::engine
