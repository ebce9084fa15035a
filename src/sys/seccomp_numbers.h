// SPDX-License-Identifier: Apache-2.0
// Names of system calls, architectures and actions as the kernel's numbers.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"

namespace berth::sys {

struct Architecture {
  std::string_view name;       // "SCMP_ARCH_X86_64"
  std::uint32_t audit = 0;     // AUDIT_ARCH_*, as the filter sees it
  std::uint32_t resolver = 0;  // libseccomp's token
};

const Architecture* architecture_by_name(std::string_view name);  // null when unknown
const Architecture& native_architecture();

// The number of a call on an architecture, with x32's bit where that is; nothing when it has no such call.
std::optional<std::uint32_t> call_number(const Architecture& architecture, const std::string& name);

// "SCMP_ACT_ERRNO" as a SECCOMP_RET_* value; the errno counts for ERRNO and TRACE alone.
Result<std::uint32_t> action_value(std::string_view action, std::optional<std::uint32_t> errno_return);

}  // namespace berth::sys
