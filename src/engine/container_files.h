// SPDX-License-Identifier: Apache-2.0
// A container's files as `cp` is to see them: with the volumes and directories of the host that it mounts,
// whether it runs or not.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/fd.h"
#include "engine/container.h"
#include "engine/registry.h"
#include "engine/root_file_system.h"
#include "engine/volumes.h"

namespace berth::engine {

// The files for as long as they are used; the last of those who use them takes them apart.
using FilesPointer = std::shared_ptr<const Fd>;
enum class FilesFor { reading, writing };

// A running container's are seen through its first process. Those of one that does not run are put together,
// its volumes mounted and filled as at a start:
//
//   for reading   as they are at that moment, whatever the container does meanwhile;
//   for writing   shared by all who write, and a start waits for them. A removal does not. One that is
//                 restarting by its policy is a conflict: nobody knows when it takes its files.
//
// Waits for a start or a stop that is under way. Takes the container's locks.
Result<FilesPointer> open_container_files(const Settings& settings, const RootFileSystems& roots,
                                          const Registry& registry, Volumes& volumes,
                                          const ContainerPointer& container, FilesFor purpose);

// `root` (a mount that is attached nowhere) with these mounts in it, as a tree that is attached nowhere.
// Where a mount goes is looked up inside the root, and made where it is missing. `place` is any directory
// that no mount has its source in; nobody else sees it change.
Result<Fd> mount_inside(Fd root, std::vector<MountPoint> mounts, const std::string& place);

}  // namespace berth::engine
