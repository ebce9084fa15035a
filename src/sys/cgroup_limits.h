// SPDX-License-Identifier: Apache-2.0
// OCI's resources as writes to control files: a pure translation, for v1 and v2. Devices are
// device_rules.h's.
#pragma once
#include <string>
#include <vector>

#include "base/error.h"
#include "oci/runtime_spec.h"
#include "sys/cgroup.h"

namespace berth::sys {

struct CgroupWrite {
  std::string controller;  // "memory"; empty for a write to the v2 directory whatever has controllers there
  std::string file;        // "memory.limit_in_bytes"
  std::string value;
  bool optional = false;  // a kernel without this file is good enough
  bool operator==(const CgroupWrite&) const = default;
};

// In the order in which they are to be made. An error when a limit needs a controller that `layout` has not,
// or cannot be expressed.
Result<std::vector<CgroupWrite>> cgroup_writes(const oci::Resources& resources, const CgroupLayout& layout);

// cpu.shares (2 to 262144) as cpu.weight (1 to 10000), blkio.weight (10 to 1000) as io.weight.
std::uint64_t cpu_weight_of_shares(std::uint64_t shares);
std::uint64_t io_weight_of_block_weight(std::uint64_t weight);

}  // namespace berth::sys
