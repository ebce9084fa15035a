// SPDX-License-Identifier: Apache-2.0
#include "build/file_digests.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "archive/xattr.h"
#include "base/buffer.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/text.h"
#include "build/parts_digest.h"

namespace berth::build {
namespace {

constexpr std::size_t kMostRemembered = 500'000;  // some 100 MB
constexpr off_t kLeastRead = 4096, kReadSize = 256u << 10;

// Times of files are as coarse as the kernel's tick, and on some file systems as two seconds: a file that was
// written just now may be written once more without a difference. Such a one is read again the next time.
constexpr std::int64_t kSettled = 100'000'000, kSettledWhereCoarse = 3'000'000'000;  // nanoseconds

std::int64_t nanoseconds(const struct timespec& time) { return time.tv_sec * 1'000'000'000 + time.tv_nsec; }

bool is_settled(const struct stat& status) {
  const bool coarse = status.st_ctim.tv_nsec == 0;
  return now().nanoseconds - nanoseconds(status.st_ctim) > (coarse ? kSettledWhereCoarse : kSettled);
}

std::unexpected<Error> has_changed(const std::string& name) {
  return fail(ErrorKind::cancelled, "{} has changed while it was read", name);
}

Result<Digest> digest_contents(int file, const struct stat& status, const std::string& name,
                               const std::stop_token& stop) {
  Sha256 digest;
  // Most files are small: a large buffer for each would cost more than the reading. One byte more than there
  // is, so that the end comes with the second read.
  Buffer buffer(static_cast<std::size_t>(std::clamp<off_t>(status.st_size + 1, kLeastRead, kReadSize)));
  for (off_t left = status.st_size;;) {
    if (stop.stop_requested()) return fail(ErrorKind::cancelled, "the build was cancelled");
    const ssize_t size = read(file, buffer.data(), buffer.size());
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return fail_errno(errno, "read {}", name);
    if (size == 0) return digest.finish();
    left -= size;
    if (left < 0) return has_changed(name);
    digest.update({buffer.data(), static_cast<std::size_t>(size)});
  }
}

}  // namespace

std::size_t FileDigests::Hash::operator()(const Key& key) const noexcept {
  std::size_t hash = key.inode * 0x9e3779b97f4a7c15u;
  hash ^= key.device + (hash << 6) + (hash >> 2);
  hash ^= static_cast<std::size_t>(key.changed) + (hash << 6) + (hash >> 2);
  return hash ^ (key.size + (hash << 6) + (hash >> 2));
}

FileDigests::Key::Key(const struct stat& status, ReaderMark reading) noexcept
    : device(status.st_dev),
      inode(status.st_ino),
      size(static_cast<std::uint64_t>(status.st_size)),
      modified(nanoseconds(status.st_mtim)),
      changed(nanoseconds(status.st_ctim)),
      reader(reading) {}

Result<Digest> digest_file(int directory, const std::string& name, std::optional<struct stat>* standing,
                           const std::stop_token& stop) {
  Result<Fd> opened = open_at(directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  if (!opened && (opened.error().code == ENOENT || opened.error().code == ELOOP)) return has_changed(name);
  const Fd file = TRY(std::move(opened));
  struct stat before;
  if (fstat(file.get(), &before) != 0) return fail_errno(errno, "look at {}", name);
  if (!S_ISREG(before.st_mode)) return has_changed(name);
  const Digest content = TRY(digest_contents(file.get(), before, name, stop));
  const Xattrs xattrs = TRY(archive::read_xattrs(file.get()));
  struct stat after;
  if (fstat(file.get(), &after) != 0) return fail_errno(errno, "look at {}", name);
  const bool stood = before.st_size == after.st_size &&
                     nanoseconds(before.st_mtim) == nanoseconds(after.st_mtim) &&
                     nanoseconds(before.st_ctim) == nanoseconds(after.st_ctim);
  if (standing && stood) *standing = after;
  return file_digest(content, xattrs);
}

Digest file_digest(const Digest& content, const Xattrs& xattrs) {
  PartsDigest whole;
  whole.add(content.text()).add_number(xattrs.size());
  for (const auto& [name, value] : xattrs) whole.add(name).add(value);
  return whole.finish();
}

ReaderMark mark_of(const std::optional<sys::UserIdentity>& reader) {
  if (!reader) return 0;
  PartsDigest parts;
  parts.add_number(reader->uid).add_number(reader->gid).add_number(reader->groups.size());
  for (const gid_t group : reader->groups) parts.add_number(group);
  const std::string hex = parts.finish().hex().substr(0, 16);
  return parse_integer<ReaderMark>(hex, 16).value_or(0) | 1;
}

Result<Digest> FileDigests::of(int directory, const std::string& name, const struct stat& status,
                               ReaderMark reader, const std::stop_token& stop) {
  {
    std::lock_guard lock(mutex_);
    if (auto found = known_.find(Key(status, reader)); found != known_.end()) return found->second;
  }
  std::optional<struct stat> standing;
  Digest digest = TRY(digest_file(directory, name, &standing, stop));
  // Only what stood still while it was read, and has for a while, is known by its times.
  if (standing && is_settled(*standing)) remember(Key(*standing, reader), digest);
  return digest;
}

void FileDigests::remember(const Key& key, const Digest& digest) {
  std::lock_guard lock(mutex_);
  if (known_.size() >= kMostRemembered) known_.clear();
  known_.insert_or_assign(key, digest);
}

void FileDigests::forget() {
  std::lock_guard lock(mutex_);
  known_.clear();
}

std::size_t FileDigests::remembered() const {
  std::lock_guard lock(mutex_);
  return known_.size();
}

}  // namespace berth::build
