// SPDX-License-Identifier: Apache-2.0
// Loop devices (loop(4)): a file as a block device, for what the kernel mounts from block devices alone.
#pragma once
#include "base/error.h"
#include "base/fd.h"

namespace berth::sys {

// A read-only block device with the contents of `file`, for as long as somebody has it open or mounted: the
// kernel takes it down after the last of them, also after a crash. The descriptor is of the device; its
// path for mount(2) is /proc/self/fd/N. Needs root and Linux 5.8 (LOOP_CONFIGURE).
Result<Fd> attach_loop_device(int file);

}  // namespace berth::sys
