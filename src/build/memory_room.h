// SPDX-License-Identifier: Apache-2.0
// A place in memory for files whose number and sizes are known beforehand and are not many: what COPY writes
// is there for a moment only, until it is a layer. On a disk each file would be made and removed, which costs
// more than all that is done with it between.
#pragma once
#include <cstdint>
#include <optional>
#include <string>

#include "build/workspace.h"

namespace berth::build {

struct Amount {
  std::uint64_t bytes = 0;  // each file's rounded up to whole pages
  std::uint64_t items = 0;  // files, directories and links

  void add(std::uint64_t size) noexcept;
};

// A tmpfs at `directory`, which is made, for as long as the result lives. Nothing when it is too much for
// this machine's memory, or when the kernel's tmpfs cannot hold what an upper directory has to (extended
// attributes of users, before Linux 6.6). Whoever finds it full after all (ErrorKind::exhausted) takes the
// disk.
std::optional<Attached> memory_room(const std::string& directory, const Amount& amount);

}  // namespace berth::build
