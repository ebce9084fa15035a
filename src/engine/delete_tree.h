// SPDX-License-Identifier: Apache-2.0
// Deleting trees that containers made. Their depth and names are hostile: sys/remove_deep_tree.h.
#pragma once
#include <string>

namespace berth::engine {

// Removes the tree at a path that we chose; a failure is logged, and a later sweep tries again.
void delete_tree(const std::string& path);

}  // namespace berth::engine
