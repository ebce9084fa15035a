// SPDX-License-Identifier: Apache-2.0
// Mounts of EROFS images that lie in files: from the files themselves (Linux 6.12 and later with
// CONFIG_EROFS_FS_BACKED_BY_FILE), or through loop devices that go with the mount (Linux 6.4 and later, the
// first with blocks as small as ours). Such a mount is attached nowhere: it is a descriptor that goes with
// its last holder, in whatever process that is, and shows in no mount table.
#pragma once
#include <span>

#include "base/error.h"
#include "base/fd.h"

namespace berth::layers {

// `devices` in the order of the image's device table. The files may be unlinked while it is mounted.
Result<Fd> mount_erofs(int image, std::span<const int> devices);

// The same in one of the two ways; exposed for tests.
enum class ErofsBacking { files, loop_devices };
Result<Fd> mount_erofs_from(ErofsBacking backing, int image, std::span<const int> devices);

// Whether layers can be EROFS images in `directory` on this machine: mounts a small one with an overlay on
// top and reads a file through both. The error says why not: unsupported, or exhausted when there was no room
// to try.
Result<void> probe_erofs(const std::string& directory);
// Removes what probes there have left that did not come to their end.
void sweep_probes(const std::string& directory);

}  // namespace berth::layers
