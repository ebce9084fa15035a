// SPDX-License-Identifier: Apache-2.0
// What directories that a layer's tar did not describe look like: as in the layers below.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/fd.h"

namespace berth::layers {

struct InheritedDirectory {
  std::string path;        // in the layer; "" is its root
  std::uint32_t mode = 0;  // permissions alone
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::int64_t mtime = 0;  // nanoseconds since the epoch
  std::vector<std::pair<std::string, std::string>> xattrs;
  bool operator==(const InheritedDirectory&) const = default;
};

// The directories of the layer's file of implied ones that are in one of the trees `below` (top first), and
// not hidden by one above that.
Result<std::vector<InheritedDirectory>> look_up_inherited(int layer, std::span<const Fd> below);

std::string encode(const std::vector<InheritedDirectory>& directories);
Result<std::vector<InheritedDirectory>> decode_inherited(std::string_view text);

}  // namespace berth::layers
