// SPDX-License-Identifier: Apache-2.0
// The filter of the policy that was compiled last: a container's execs have its own policy, and most
// containers have the default one.
#pragma once
#include <optional>

#include "base/error.h"
#include "oci/runtime_spec.h"
#include "sys/seccomp.h"

namespace berth::sys {

class SeccompCache {
 public:
  // Valid until the next call.
  Result<const SeccompProgram*> get(const oci::LinuxSeccomp& policy);

 private:
  std::optional<oci::LinuxSeccomp> policy_;
  SeccompProgram program_;
};

}  // namespace berth::sys
