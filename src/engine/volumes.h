// SPDX-License-Identifier: Apache-2.0
// Local volumes: <data-root>/volumes/<name>/_data, a directory each. What a container's mounts need of them;
// networks and volumes as objects of their own come with another issue.
#pragma once
#include <string>
#include <vector>

#include "base/error.h"
#include "engine/container.h"
#include "engine/settings.h"

namespace berth::engine {

class Volumes {
 public:
  explicit Volumes(const Settings& settings) : settings_(settings) {}

  // Gives every volume among `mounts` its directory (and an anonymous one its name), so that `source` is a
  // host path.
  Result<void> provide(std::vector<MountPoint>& mounts) const;
  // Fills a volume that is empty with what the image has at its destination, owners and modes included.
  // `root` is the container's file system.
  Result<void> copy_up(const MountPoint& mount, int root) const;
  // Those that provide() named itself.
  void remove_anonymous(const std::vector<MountPoint>& mounts) const;

 private:
  const Settings& settings_;
};

}  // namespace berth::engine
