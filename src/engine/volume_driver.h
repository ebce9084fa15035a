// SPDX-License-Identifier: Apache-2.0
// The driver "local" and its options: what is mounted on a volume's directory for as long as a container uses
// it. As with Docker, the options are those of mount(8): `type` a file system, `device` its source, `o` its
// options with commas between them.
//
//   type=tmpfs device=tmpfs o=size=2m             memory
//   type=none device=/srv/data o=bind             a directory of the host
//   type=nfs device=:/export o=addr=10.0.0.5,rw   what a server exports; `addr` may be a name
//
// Without options a volume is its directory and nothing is mounted.
#pragma once
#include <functional>
#include <map>
#include <string>

#include "base/error.h"
#include "base/fd.h"
#include "sys/mounts.h"

namespace berth::engine {

using VolumeOptions = std::map<std::string, std::string>;

// Refuses what the driver does not know, and what is not complete.
Result<void> check_volume_options(const VolumeOptions& options);

// What a mount is made of. Pure but for `resolve`, which turns a server's name into its address.
struct VolumeMount {
  std::string type;
  std::string device;
  sys::MountOptions options;
};
using NameResolver = std::function<Result<std::string>(const std::string& name)>;
Result<VolumeMount> plan_volume_mount(const VolumeOptions& options, const NameResolver& resolve);

// Mounts on `directory`, which is the engine's own. May take as long as a server takes to answer.
Result<void> mount_volume(const VolumeOptions& options, const std::string& directory);
// Off the directory at once, in use or not; what uses it still has it until it lets go.
Result<void> unmount_volume(const std::string& directory);

}  // namespace berth::engine
