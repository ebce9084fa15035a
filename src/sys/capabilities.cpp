// SPDX-License-Identifier: Apache-2.0
#include "sys/capabilities.h"

#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>

namespace berth::sys {
namespace {

constexpr std::array<std::string_view, 41> kNames = {"CAP_CHOWN",
                                                     "CAP_DAC_OVERRIDE",
                                                     "CAP_DAC_READ_SEARCH",
                                                     "CAP_FOWNER",
                                                     "CAP_FSETID",
                                                     "CAP_KILL",
                                                     "CAP_SETGID",
                                                     "CAP_SETUID",
                                                     "CAP_SETPCAP",
                                                     "CAP_LINUX_IMMUTABLE",
                                                     "CAP_NET_BIND_SERVICE",
                                                     "CAP_NET_BROADCAST",
                                                     "CAP_NET_ADMIN",
                                                     "CAP_NET_RAW",
                                                     "CAP_IPC_LOCK",
                                                     "CAP_IPC_OWNER",
                                                     "CAP_SYS_MODULE",
                                                     "CAP_SYS_RAWIO",
                                                     "CAP_SYS_CHROOT",
                                                     "CAP_SYS_PTRACE",
                                                     "CAP_SYS_PACCT",
                                                     "CAP_SYS_ADMIN",
                                                     "CAP_SYS_BOOT",
                                                     "CAP_SYS_NICE",
                                                     "CAP_SYS_RESOURCE",
                                                     "CAP_SYS_TIME",
                                                     "CAP_SYS_TTY_CONFIG",
                                                     "CAP_MKNOD",
                                                     "CAP_LEASE",
                                                     "CAP_AUDIT_WRITE",
                                                     "CAP_AUDIT_CONTROL",
                                                     "CAP_SETFCAP",
                                                     "CAP_MAC_OVERRIDE",
                                                     "CAP_MAC_ADMIN",
                                                     "CAP_SYSLOG",
                                                     "CAP_WAKE_ALARM",
                                                     "CAP_BLOCK_SUSPEND",
                                                     "CAP_AUDIT_READ",
                                                     "CAP_PERFMON",
                                                     "CAP_BPF",
                                                     "CAP_CHECKPOINT_RESTORE"};

constexpr CapabilityMask bit(int number) { return CapabilityMask{1} << number; }

}  // namespace

std::optional<int> capability_number(std::string_view name) {
  for (std::size_t i = 0; i < kNames.size(); ++i)
    if (kNames[i] == name) return static_cast<int>(i);
  return std::nullopt;
}

std::string_view capability_name(int number) {
  if (number < 0 || static_cast<std::size_t>(number) >= kNames.size()) return {};
  return kNames[static_cast<std::size_t>(number)];
}

int last_capability() {
  int number = 0;
  while (number < 63 && prctl(PR_CAPBSET_READ, number + 1, 0, 0, 0) >= 0) ++number;
  return number;
}

const std::vector<std::string>& default_capability_names() {
  static const std::vector<std::string> names = {
      "CAP_CHOWN",   "CAP_DAC_OVERRIDE", "CAP_FSETID",           "CAP_FOWNER",
      "CAP_MKNOD",   "CAP_NET_RAW",      "CAP_SETGID",           "CAP_SETUID",
      "CAP_SETFCAP", "CAP_SETPCAP",      "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT",
      "CAP_KILL",    "CAP_AUDIT_WRITE"};
  return names;
}

CapabilityMask current_bounding_set() noexcept {
  CapabilityMask mask = 0;
  for (int number = 0; number < 64; ++number) {
    int held = prctl(PR_CAPBSET_READ, number, 0, 0, 0);
    if (held < 0) break;
    if (held) mask |= bit(number);
  }
  return mask;
}

Result<CapabilityMask> capability_mask(const std::vector<std::string>& names, CapabilityMask available,
                                       std::vector<std::string>* left_out) {
  CapabilityMask mask = 0;
  for (const std::string& name : names) {
    std::optional<int> number = capability_number(name);
    if (!number) return fail(ErrorKind::invalid, "unknown capability \"{}\"", name);
    if (available & bit(*number))
      mask |= bit(*number);
    else if (left_out)
      left_out->push_back(name);
  }
  return mask;
}

std::vector<std::string> capability_names(CapabilityMask mask) {
  std::vector<std::string> names;
  for (std::size_t i = 0; i < kNames.size(); ++i)
    if (mask & bit(static_cast<int>(i))) names.emplace_back(kNames[i]);
  return names;
}

CapabilitySets current_capabilities() noexcept {
  CapabilitySets sets;
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2] = {};
  if (syscall(SYS_capget, &header, data) == 0) {
    auto whole = [](std::uint32_t low, std::uint32_t high) { return CapabilityMask{high} << 32 | low; };
    sets.effective = whole(data[0].effective, data[1].effective);
    sets.permitted = whole(data[0].permitted, data[1].permitted);
    sets.inheritable = whole(data[0].inheritable, data[1].inheritable);
  }
  sets.bounding = current_bounding_set();
  for (int number = 0; number < 64; ++number) {
    int held = prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, number, 0, 0);
    if (held < 0) break;
    if (held) sets.ambient |= bit(number);
  }
  return sets;
}

int limit_bounding_set(CapabilityMask keep) noexcept {
  for (int number = 0; number < 64; ++number) {
    if (keep & bit(number)) continue;
    if (prctl(PR_CAPBSET_DROP, number, 0, 0, 0) == 0) continue;
    if (errno == EINVAL) return 0;  // past the kernel's last one
    return errno;
  }
  return 0;
}

int set_capabilities(const CapabilitySets& sets) noexcept {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  auto low = [](CapabilityMask mask) { return static_cast<std::uint32_t>(mask); };
  auto high = [](CapabilityMask mask) { return static_cast<std::uint32_t>(mask >> 32); };
  __user_cap_data_struct data[2] = {
      {low(sets.effective), low(sets.permitted), low(sets.inheritable)},
      {high(sets.effective), high(sets.permitted), high(sets.inheritable)},
  };
  return syscall(SYS_capset, &header, data) == 0 ? 0 : errno;
}

int set_ambient(CapabilityMask mask) noexcept {
  if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0)
    return errno == EINVAL && !mask ? 0 : errno;
  for (int number = 0; number < 64; ++number)
    if (mask & bit(number) && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, number, 0, 0) != 0) return errno;
  return 0;
}

}  // namespace berth::sys
