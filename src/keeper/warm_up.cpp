// SPDX-License-Identifier: Apache-2.0
#include "keeper/warm_up.h"

#include "oci/runtime_spec.h"
#include "runtime/plan.h"
#include "sys/capabilities.h"
#include "sys/cgroup.h"

namespace berth::keeper {

// What fails here fails again, with a container to say it of.
void warm_up(sys::SeccompCache& filters) {
  oci::RuntimeSpec made_up = oci::default_runtime_spec();
  made_up.linux_.seccomp = sys::default_seccomp(sys::default_capability_names());
  Result<oci::RuntimeSpec> spec = oci::parse_runtime_spec(oci::to_text(made_up));
  if (!spec) return;
  (void)filters.get(*spec->linux_.seccomp);
  (void)runtime::make_plan(*spec, {});
  (void)sys::CgroupLayout::detect();
}

}  // namespace berth::keeper
