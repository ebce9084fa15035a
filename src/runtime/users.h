// SPDX-License-Identifier: Apache-2.0
// Who a process in a container runs as, from the container's own /etc/passwd and /etc/group: untrusted text,
// read by descriptor and never through the host's name services.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "oci/runtime_spec.h"

namespace berth::runtime {

// The two files' text; empty when the container has none.
struct AccountFiles {
  std::string passwd;
  std::string group;
};

// Below `root`, the container's root directory. A missing or oversized file counts as empty.
AccountFiles read_account_files(int root);

struct ResolvedUser {
  oci::User user;
  std::string home;  // "/" when the files don't say
};

// `text` is Docker's "[user|uid][:[group|gid]]", empty for root. Names must be in the files, numbers need not
// be. What is written as a number is a number: a file with an account called "1000" does not decide who
// --user 1000 is. A number is at most 2^31 - 1, so that nothing wraps. Supplementary groups are those that
// list the user, unless a group was named, and `extra_groups` (--group-add) in any case.
Result<ResolvedUser> resolve_user(const AccountFiles& files, std::string_view text,
                                  const std::vector<std::string>& extra_groups);

}  // namespace berth::runtime
