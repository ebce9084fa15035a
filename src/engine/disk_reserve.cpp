// SPDX-License-Identifier: Apache-2.0
#include "engine/disk_reserve.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/file.h"

namespace berth::engine {
namespace {

constexpr off_t kReserve = 1 << 20;

}  // namespace

void DiskReserve::replenish() {
  std::lock_guard lock(mutex_);
  if (exists(path_)) return;
  Result<Fd> file = open_file(path_, O_WRONLY | O_CREAT | O_EXCL, 0600);
  if (file && posix_fallocate(file->get(), 0, kReserve) != 0) unlink(path_.c_str());
}

bool DiskReserve::spend() {
  std::lock_guard lock(mutex_);
  return unlink(path_.c_str()) == 0;
}

}  // namespace berth::engine
