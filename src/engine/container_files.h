// SPDX-License-Identifier: Apache-2.0
// A container's files as `cp` is to see them: with the volumes and directories of the host that it mounts,
// whether it runs or not.
#pragma once
#include <string>
#include <vector>

#include "base/error.h"
#include "base/fd.h"
#include "engine/container.h"
#include "engine/root_file_system.h"
#include "engine/volumes.h"

namespace berth::engine {

// A running container's through its first process; a stopped one's is put together for the caller alone, its
// volumes mounted and filled as at a start. Closing the descriptor takes it apart. Takes the container's
// mutex.
Result<Fd> open_container_files(const Settings& settings, const RootFileSystems& roots, Volumes& volumes,
                                const ContainerPointer& container);

// `root` (a mount that is attached nowhere) with these mounts in it, as a tree that is attached nowhere.
// Where a mount goes is looked up inside the root, and made where it is missing. `place` is any directory
// that no mount has its source in; nobody else sees it change.
Result<Fd> mount_inside(Fd root, std::vector<MountPoint> mounts, const std::string& place);

}  // namespace berth::engine
