// SPDX-License-Identifier: Apache-2.0
// Capabilities (capabilities(7)): names to bits, and putting sets on the calling process.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace berth::sys {

// One bit a capability, bit 0 is CAP_CHOWN.
using CapabilityMask = std::uint64_t;

struct CapabilitySets {
  CapabilityMask bounding = 0;
  CapabilityMask effective = 0;
  CapabilityMask permitted = 0;
  CapabilityMask inheritable = 0;
  CapabilityMask ambient = 0;
};

// "CAP_SYS_ADMIN" to 21; exact, upper case. Names that this program knows, whether or not the kernel does.
std::optional<int> capability_number(std::string_view name);
std::string_view capability_name(int number);  // empty when unknown
int last_capability();  // the kernel's highest: /proc/sys/kernel/cap_last_cap, or probed

// An unknown name is an error. Capabilities that are not in `available` (mostly current_bounding_set(), which
// has what the kernel knows and the calling process may pass on) are dropped and named in `left_out`.
Result<CapabilityMask> capability_mask(const std::vector<std::string>& names, CapabilityMask available,
                                       std::vector<std::string>* left_out = nullptr);
std::vector<std::string> capability_names(CapabilityMask mask);

// What containers have unless they are told otherwise: Docker's fourteen.
const std::vector<std::string>& default_capability_names();

CapabilityMask current_bounding_set() noexcept;
CapabilitySets current_capabilities() noexcept;

// Between clone and exec: no allocation; 0 or an errno.
int limit_bounding_set(CapabilityMask keep) noexcept;
int set_capabilities(const CapabilitySets& sets) noexcept;  // effective, permitted, inheritable
int set_ambient(CapabilityMask mask) noexcept;              // clears the set, then raises these

}  // namespace berth::sys
