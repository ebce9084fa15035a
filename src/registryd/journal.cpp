// SPDX-License-Identifier: Apache-2.0
#include "registryd/journal.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "base/buffer.h"
#include "base/digest.h"
#include "base/file.h"
#include "base/log.h"
#include "base/text.h"

namespace berth::registryd {
namespace {

constexpr std::string_view kMagic = "berth-registry-journal 1 ";
constexpr std::size_t kGenerationLength = 32;
constexpr std::size_t kHeaderLength = kMagic.size() + kGenerationLength + 1;
constexpr std::size_t kChecksumLength = 8;
constexpr std::size_t kLineLimit = 4096;
constexpr std::size_t kRewriteBuffer = 1u << 20;

std::string checked(std::string_view line) {
  return sha256_of(line).hex().substr(0, kChecksumLength) + " " + std::string(line) + "\n";
}

// The line without its checksum; nothing when that does not fit.
std::optional<std::string_view> sound(std::string_view line) {
  if (line.size() <= kChecksumLength + 1 || line[kChecksumLength] != ' ') return std::nullopt;
  std::string_view body = line.substr(kChecksumLength + 1);
  if (sha256_of(body).hex().substr(0, kChecksumLength) != line.substr(0, kChecksumLength))
    return std::nullopt;
  return body;
}

Result<void> write_at(int file, std::string_view bytes, std::int64_t offset) {
  while (!bytes.empty()) {
    ssize_t put = pwrite(file, bytes.data(), bytes.size(), offset);
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return fail_errno(errno, "write to the journal");
    bytes.remove_prefix(static_cast<std::size_t>(put));
    offset += put;
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<Journal>> Journal::open(const std::string& directory, const std::string& name) {
  std::unique_ptr<Journal> journal(new Journal(directory, name));
  Result<Fd> file = open_file(journal->path(), O_RDWR | O_NOFOLLOW);
  if (!file && file.error().code != ENOENT) return std::unexpected(std::move(file).error());
  if (!file) {
    TRY(journal->create());
    return journal;
  }
  journal->file_ = std::move(*file);
  journal->existed_ = true;
  TRY(journal->read_header());
  return journal;
}

Result<void> Journal::create() {
  return rewrite([](const auto&) { return Result<void>(); });
}

Result<void> Journal::read_header() {
  char header[kHeaderLength];
  ssize_t got = pread(file_.get(), header, sizeof header, 0);
  std::string_view text(header, got > 0 ? static_cast<std::size_t>(got) : 0);
  if (text.size() != kHeaderLength || !text.starts_with(kMagic) || text.back() != '\n')
    return fail(ErrorKind::corrupt, "{} is not a journal of this registry; move it away to start without it",
                path());
  generation_ = text.substr(kMagic.size(), kGenerationLength);
  struct stat info;
  if (fstat(file_.get(), &info) != 0) return fail_errno(errno, "inspect {}", path());
  end_ = info.st_size;
  return {};
}

std::int64_t Journal::end() const {
  std::lock_guard guard(mutex_);
  return end_;
}

Result<std::size_t> Journal::replay(std::int64_t from,
                                    const std::function<Result<void>(std::string_view)>& line) {
  std::int64_t position = std::max<std::int64_t>(from, kHeaderLength);  // of `pending`'s first byte
  std::int64_t sound_end = position;
  std::size_t damaged = 0, damaged_since_sound = 0;
  std::string pending;
  Buffer buffer(256u << 10);
  for (;;) {
    ssize_t got = pread(file_.get(), buffer.data(), buffer.size(),
                        position + static_cast<std::int64_t>(pending.size()));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail_errno(errno, "read {}", path());
    if (got == 0) break;
    pending.append(buffer.data(), static_cast<std::size_t>(got));
    std::size_t begin = 0;
    for (std::size_t feed; (feed = pending.find('\n', begin)) != std::string::npos; begin = feed + 1) {
      std::optional<std::string_view> body = sound(std::string_view(pending).substr(begin, feed - begin));
      if (!body) {
        ++damaged_since_sound;
        continue;
      }
      damaged += std::exchange(damaged_since_sound, 0);
      sound_end = position + static_cast<std::int64_t>(feed) + 1;
      TRY(line(*body));
    }
    position += static_cast<std::int64_t>(begin);
    pending.erase(0, begin);
    if (pending.size() > kLineLimit) {  // zeros of a torn write: no line is so long
      position += static_cast<std::int64_t>(pending.size());
      pending.clear();
      ++damaged_since_sound;
    }
  }
  if (sound_end < end()) {
    log_warning("registry", "{} ends with {} bytes that a crash has torn; they are cut off", path(),
                end() - sound_end);
    TRY(cut_back(sound_end));
  }
  return damaged;
}

std::uint64_t Journal::last_ticket() const {
  std::lock_guard guard(mutex_);
  return appended_;
}

Result<Journal::Appended> Journal::append(std::string_view lines) {
  std::string text;
  while (!lines.empty()) {
    auto [line, rest] = split_once(lines, '\n');
    if (!line.empty()) text += checked(line);
    lines = rest;
  }
  std::int64_t begin;
  {
    std::lock_guard guard(mutex_);
    if (broken_) return fail(ErrorKind::system, "{} could not be synced; restart the registry", path());
    begin = end_;
  }
  Result<void> written = write_at(file_.get(), text, begin);
  if (!written) {
    (void)cut_back(begin);
    return std::unexpected(std::move(written).error());
  }
  std::lock_guard guard(mutex_);
  end_ = begin + static_cast<std::int64_t>(text.size());
  return Appended{begin, end_, ++appended_};
}

Result<void> Journal::cut_back(std::int64_t end) {
  if (ftruncate(file_.get(), end) != 0) return fail_errno(errno, "cut {} back", path());
  std::lock_guard guard(mutex_);
  end_ = end;
  return {};
}

// The first who comes syncs for all who have appended by then; the others wait for that, or for the next.
Result<void> Journal::sync(std::uint64_t ticket) {
  std::unique_lock lock(mutex_);
  for (;;) {
    if (broken_) return fail(ErrorKind::system, "{} could not be synced; restart the registry", path());
    if (synced_ >= ticket) return {};
    if (syncing_) {
      synced_changed_.wait(lock);
      continue;
    }
    syncing_ = true;
    const std::uint64_t upto = appended_;
    lock.unlock();
    const int failed = fdatasync(file_.get()) == 0 ? 0 : errno;
    lock.lock();
    syncing_ = false;
    if (failed != 0) {
      // The kernel reports a lost page once and then forgets it: a second sync would succeed and lie.
      broken_ = true;
      synced_changed_.notify_all();
      return fail_errno(failed, "sync {}", path());
    }
    synced_ = std::max(synced_, upto);
    synced_changed_.notify_all();
  }
}

Result<void> Journal::rewrite(
    const std::function<Result<void>(const std::function<Result<void>(std::string_view)>&)>& write) {
  std::unique_lock lock(mutex_);
  synced_changed_.wait(lock, [this] { return !syncing_; });
  const std::string generation = random_identifier().substr(0, kGenerationLength);
  const std::string temporary = path() + ".new";
  Fd file = TRY(open_file(temporary, O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600));
  std::string buffer = std::string(kMagic) + generation + "\n";
  std::int64_t size = 0;
  auto flush = [&]() -> Result<void> {
    TRY(write_at(file.get(), buffer, size));
    size += static_cast<std::int64_t>(buffer.size());
    buffer.clear();
    return {};
  };
  TRY(write([&](std::string_view line) -> Result<void> {
    buffer += checked(line);
    return buffer.size() < kRewriteBuffer ? Result<void>() : flush();
  }));
  TRY(flush());
  if (fdatasync(file.get()) != 0) return fail_errno(errno, "sync {}", temporary);
  if (rename(temporary.c_str(), path().c_str()) != 0) return fail_errno(errno, "replace {}", path());
  Fd directory = TRY(open_file(directory_, O_RDONLY | O_DIRECTORY));
  TRY(sync_directory(directory.get()));
  file_ = std::move(file);
  generation_ = generation;
  end_ = size;
  synced_ = appended_;  // all of it is in what was written just now
  return {};
}

}  // namespace berth::registryd
