// SPDX-License-Identifier: Apache-2.0
#include "sys/loop_device.h"

#include <fcntl.h>
#include <linux/loop.h>
#include <sys/ioctl.h>

#include <cerrno>
#include <string>

#include "base/file.h"

namespace berth::sys {
namespace {

constexpr int kAttempts = 100;  // others on this machine take free devices too

}  // namespace

Result<Fd> attach_loop_device(int file) {
  Fd control = TRY_AS("use loop devices", open_file("/dev/loop-control", O_RDWR));
  loop_config configuration{};
  configuration.fd = static_cast<__u32>(file);
  configuration.info.lo_flags = LO_FLAGS_READ_ONLY | LO_FLAGS_AUTOCLEAR;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    const int number = ioctl(control.get(), LOOP_CTL_GET_FREE);
    if (number < 0) return fail_errno(errno, "find a free loop device");
    Fd device = TRY(open_file("/dev/loop" + std::to_string(number), O_RDONLY));
    if (ioctl(device.get(), LOOP_CONFIGURE, &configuration) == 0) return device;
    if (errno != EBUSY) return fail_errno(errno, "make a file the contents of /dev/loop{}", number);
  }
  return fail(ErrorKind::exhausted, "found no loop device that stays free in {} attempts", kAttempts);
}

}  // namespace berth::sys
