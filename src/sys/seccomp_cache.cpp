// SPDX-License-Identifier: Apache-2.0
#include "sys/seccomp_cache.h"

namespace berth::sys {

Result<const SeccompProgram*> SeccompCache::get(const oci::LinuxSeccomp& policy) {
  if (policy_ == policy) return &program_;
  policy_.reset();
  program_ = TRY(compile_seccomp(policy));
  policy_ = policy;
  return &program_;
}

}  // namespace berth::sys
