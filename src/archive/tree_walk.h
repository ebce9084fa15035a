// SPDX-License-Identifier: Apache-2.0
// A walk over a tree that someone else may be changing: sorted, nothing followed, never out of the tree, few
// descriptors at any depth.
#pragma once
#include <sys/stat.h>

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace berth::archive {

struct WalkItem {
  int directory;            // that holds it: fstatat, openat, readlinkat with `name`
  const std::string& name;  // one component
  std::string_view path;    // below the start of the walk
  const struct stat& status;
};

enum class Descend { yes, no };

// Calls `visit` for everything below the directory `start`, a directory before what is in it, siblings in
// bytewise order of their names. What vanishes meanwhile is left out.
Result<void> walk_tree(int start, const std::function<Result<Descend>(const WalkItem&)>& visit);

// The names in an open directory (not O_PATH), sorted, without "." and "..".
Result<std::vector<std::string>> names_in(int directory);

}  // namespace berth::archive
