// SPDX-License-Identifier: Apache-2.0
// System call filters (seccomp(2), filter mode). A policy is an oci::LinuxSeccomp; it is compiled here into
// classic BPF as a binary search tree over system call numbers, one tree an architecture, because the kernel
// runs the filter on every call and checks it when it is loaded: a tree of some 70 instructions loads in a
// twelfth of the time that a list of 355 takes.
//
//   oci::LinuxSeccomp policy = default_seccomp(capability_names);
//   SeccompProgram program = TRY(compile_seccomp(policy));
//   ... in the child: load_seccomp(program)
#pragma once
#include <linux/filter.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace berth::oci {
struct LinuxSeccomp;
}

namespace berth::sys {

// The allow-list that containers get unless told otherwise: Docker's semantic baseline. Some calls depend on
// the capabilities in `capabilities` ("CAP_SYS_ADMIN"); architectures are this machine's own with their
// 32-bit companions.
oci::LinuxSeccomp default_seccomp(const std::vector<std::string>& capabilities);

// Docker's profile format (--security-opt seccomp=FILE): OCI's with archMap, and rules with includes and
// excludes by capability, architecture and kernel version. A plain OCI section is read too.
Result<oci::LinuxSeccomp> read_seccomp_profile(std::string_view text,
                                               const std::vector<std::string>& capabilities);

struct SeccompProgram {
  std::vector<sock_filter> instructions;
  unsigned flags = 0;                // SECCOMP_FILTER_FLAG_*
  std::vector<std::string> unknown;  // names in the policy that no architecture here knows: skipped
};

Result<SeccompProgram> compile_seccomp(const oci::LinuxSeccomp& policy);

// Puts the filter on the calling thread. 0, or the errno. Needs CAP_SYS_ADMIN or no_new_privs. Allocates
// nothing: callable between clone and exec.
int load_seccomp(const SeccompProgram& program) noexcept;

}  // namespace berth::sys
