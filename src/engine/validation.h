// SPDX-License-Identifier: Apache-2.0
// Everything that can be refused about a container before anything is made. What passes here is well-formed;
// whether a path or a device exists is asked when it is used. Messages are Docker's where clients show them
// to people.
#pragma once
#include <string>
#include <vector>

#include "base/error.h"
#include "engine/container.h"
#include "engine/settings.h"

namespace berth::engine {

Result<void> validate(const Settings& settings, const oci::ContainerConfig& config, const HostConfig& host);
Result<void> validate_limits(const ResourceLimits& limits, unsigned processors);

// -v and --mount, then what other containers lend (--volumes-from; of two at one place the later), then
// VOLUMEs: each only where nothing before it lies. Anonymous volumes have an empty name still.
Result<std::vector<MountPoint>> parse_mounts(const oci::ContainerConfig& config, const HostConfig& host,
                                             std::vector<MountPoint> lent = {});

// What stands behind the name in --volumes-from: "ro,z", "".
Result<bool> lends_read_only(std::string_view mode);

// Lexically clean, absolute; "" when it is not absolute.
std::string clean_absolute(std::string_view path);

// [a-zA-Z0-9][a-zA-Z0-9_.-]+, at most 255 bytes: a name is one component of a path, and no option.
bool valid_volume_name(std::string_view name);

// One that an engine made up for a volume that nobody gave a name.
bool is_made_up_volume_name(std::string_view name);

// A path inside a volume that does not leave it by its words alone: "a/b", not "/a", "..", "a/../..".
bool stays_inside(std::string_view path);

// kernel.* and fs.mqueue.* that belong to the ipc namespace, net.* that belong to the network namespace;
// nothing else.
Result<void> check_sysctl(const std::string& name, const HostConfig& host);

}  // namespace berth::engine
