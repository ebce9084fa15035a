// SPDX-License-Identifier: Apache-2.0
#include "db/log_room.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "base/file.h"

namespace berth::db {
namespace {

constexpr off_t kLeast = 512 << 10;  // some twenty removals of a container or an image
constexpr off_t kChunk = 1 << 20;

}  // namespace

// SQLite locks the database's file and its shared memory, not the log: closing a descriptor of ours drops no
// lock of its own (which POSIX locks on the same file would be).
void LogRoom::keep_ahead() {
  if (!log_) {
    Result<Fd> opened = open_file(path_, O_RDWR | O_NOFOLLOW);
    if (!opened) return;
    log_ = std::move(*opened);
  }
  struct stat info {};
  if (fstat(log_.get(), &info) != 0) return;
  if (info.st_size < size_) allocated_ = info.st_size;  // truncated, and with it what was ahead
  size_ = info.st_size;
  if (size_ + kLeast <= allocated_) return;
  if (fallocate(log_.get(), FALLOC_FL_KEEP_SIZE, size_, kChunk) == 0) allocated_ = size_ + kChunk;
}

}  // namespace berth::db
