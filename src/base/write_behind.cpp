// SPDX-License-Identifier: Apache-2.0
#include "base/write_behind.h"

#include <fcntl.h>

#include <algorithm>

namespace berth {
namespace {

constexpr std::int64_t kStep = 4 << 20;

}  // namespace

void WriteBehind::written(int file, std::int64_t end) noexcept {
  if (end - begun_ < kStep) return;
  (void)sync_file_range(file, begun_, end - begun_, SYNC_FILE_RANGE_WRITE);
  if (cache_ == PageCache::drop && begun_ > dropped_) {
    // The part before, which the disk has had a step's time for. Pages that are still dirty cannot be
    // dropped.
    (void)sync_file_range(file, dropped_, begun_ - dropped_,
                          SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER);
    (void)posix_fadvise(file, dropped_, begun_ - dropped_, POSIX_FADV_DONTNEED);
    dropped_ = begun_;
  }
  begun_ = end;
}

void WriteBehind::truncated(std::int64_t size) noexcept {
  begun_ = std::min(begun_, size);
  dropped_ = std::min(dropped_, size);
}

}  // namespace berth
