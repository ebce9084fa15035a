// SPDX-License-Identifier: Apache-2.0
// Removal of trees that a container made. A container can nest directories 100,000 levels deep, rename them
// while we look, and plant links and mounts: this uses a handful of descriptors at any depth, never follows a
// link, never enters another mount, and notices when a directory was moved away below it.
#pragma once
#include <string>

#include "base/error.h"

namespace berth::sys {

// Removes `name` in the directory `parent` with everything in it. Missing is success. Goes on past errors as
// far as it can and returns the first; a mount point inside stays, and is an error (EBUSY).
Result<void> remove_deep_tree(int parent, const std::string& name);

}  // namespace berth::sys
