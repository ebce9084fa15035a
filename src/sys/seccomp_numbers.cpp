// SPDX-License-Identifier: Apache-2.0
#include "sys/seccomp_numbers.h"

#include <linux/audit.h>
#include <linux/seccomp.h>
#include <seccomp.h>

#include <array>
#include <cerrno>

namespace berth::sys {
namespace {

constexpr std::array<Architecture, 5> kArchitectures = {{
    {"SCMP_ARCH_X86_64", AUDIT_ARCH_X86_64, SCMP_ARCH_X86_64},
    {"SCMP_ARCH_X86", AUDIT_ARCH_I386, SCMP_ARCH_X86},
    {"SCMP_ARCH_X32", AUDIT_ARCH_X86_64, SCMP_ARCH_X32},
    {"SCMP_ARCH_AARCH64", AUDIT_ARCH_AARCH64, SCMP_ARCH_AARCH64},
    {"SCMP_ARCH_ARM", AUDIT_ARCH_ARM, SCMP_ARCH_ARM},
}};

// Calls that came after the resolver that we are linked with. Since 424 a number means the same everywhere.
struct Newer {
  std::string_view name;
  std::uint32_t number;
};
constexpr std::array<Newer, 20> kNewer = {{
    {"set_mempolicy_home_node", 450},
    {"cachestat", 451},
    {"fchmodat2", 452},
    {"map_shadow_stack", 453},
    {"futex_wake", 454},
    {"futex_wait", 455},
    {"futex_requeue", 456},
    {"statmount", 457},
    {"listmount", 458},
    {"lsm_get_self_attr", 459},
    {"lsm_set_self_attr", 460},
    {"lsm_list_modules", 461},
    {"mseal", 462},
    {"setxattrat", 463},
    {"getxattrat", 464},
    {"listxattrat", 465},
    {"removexattrat", 466},
    {"open_tree_attr", 467},
    {"file_getattr", 468},
    {"file_setattr", 469},
}};

struct Action {
  std::string_view name;
  std::uint32_t value;
  bool takes_data = false;
};
constexpr std::array<Action, 8> kActions = {{
    {"SCMP_ACT_ALLOW", SECCOMP_RET_ALLOW},
    {"SCMP_ACT_ERRNO", SECCOMP_RET_ERRNO, true},
    {"SCMP_ACT_KILL", SECCOMP_RET_KILL_THREAD},
    {"SCMP_ACT_KILL_THREAD", SECCOMP_RET_KILL_THREAD},
    {"SCMP_ACT_KILL_PROCESS", SECCOMP_RET_KILL_PROCESS},
    {"SCMP_ACT_LOG", SECCOMP_RET_LOG},
    {"SCMP_ACT_TRACE", SECCOMP_RET_TRACE, true},
    {"SCMP_ACT_TRAP", SECCOMP_RET_TRAP},
}};

}  // namespace

const Architecture* architecture_by_name(std::string_view name) {
  for (const Architecture& one : kArchitectures)
    if (one.name == name) return &one;
  return nullptr;
}

const Architecture& native_architecture() {
#if defined(__x86_64__)
  return kArchitectures[0];
#elif defined(__aarch64__)
  return kArchitectures[3];
#else
#error "name this machine's architecture here"
#endif
}

std::optional<std::uint32_t> call_number(const Architecture& architecture, const std::string& name) {
  int number = seccomp_syscall_resolve_name_arch(architecture.resolver, name.c_str());
  if (number >= 0) return static_cast<std::uint32_t>(number);
  const std::uint32_t base = architecture.resolver == SCMP_ARCH_X32 ? 0x40000000u : 0;
  for (const Newer& newer : kNewer)
    if (newer.name == name) return newer.number | base;
  if (name == "uretprobe" && architecture.resolver == SCMP_ARCH_X86_64) return 335;
  return std::nullopt;
}

Result<std::uint32_t> action_value(std::string_view action, std::optional<std::uint32_t> errno_return) {
  for (const Action& one : kActions) {
    if (one.name != action) continue;
    if (!one.takes_data) return one.value;
    std::uint32_t data = errno_return.value_or(EPERM);
    if (data > 4095)
      return fail(ErrorKind::invalid, "{} is not an errno that a seccomp rule can return", data);
    return one.value | data;
  }
  if (action == "SCMP_ACT_NOTIFY")
    return fail(ErrorKind::unsupported,
                "seccomp policies that ask a listener (SCMP_ACT_NOTIFY) are not supported");
  return fail(ErrorKind::invalid, "\"{}\" is not a seccomp action", action);
}

}  // namespace berth::sys
