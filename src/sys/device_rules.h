// SPDX-License-Identifier: Apache-2.0
// Which devices a control group may use. v1 takes rules as text (devices.allow, devices.deny); v2 asks a BPF
// program of type BPF_PROG_TYPE_CGROUP_DEVICE, which is generated here.
#pragma once
#include <linux/bpf.h>

#include <string>
#include <vector>

#include "base/error.h"
#include "oci/runtime_spec.h"

namespace berth::sys {

// A rule with everything spelled out.
struct DevicePermission {
  bool allow = false;
  char type = 'a';  // 'a' (both), 'c' or 'b'
  int major = -1;   // -1: all
  int minor = -1;
  bool read = true, write = true, make = true;
  bool operator==(const DevicePermission&) const = default;
};

// What a container may use: nothing at first, then the configuration's rules, then the devices that every
// container has (null, zero, full, random, urandom, tty, ptmx, its terminals; mknod of anything). When a rule
// "allow all" decides, the list is that one rule.
Result<std::vector<DevicePermission>> effective_device_permissions(const std::vector<oci::DeviceRule>& rules);

std::string to_v1_rule(const DevicePermission& permission);  // "c 1:3 rwm"

// The program for v2: the last permission that matches decides, nothing matching is a refusal.
std::vector<bpf_insn> compile_device_filter(const std::vector<DevicePermission>& permissions);

// Attaches it to the v2 directory, in place of the program of ours that was there before.
Result<void> attach_device_filter(int cgroup_directory, const std::vector<DevicePermission>& permissions);

}  // namespace berth::sys
