// SPDX-License-Identifier: Apache-2.0
#include "sys/act_as.h"

#include <sys/fsuid.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdlib>

#include "base/log.h"

namespace berth::sys {
namespace {

// Those of this thread: the functions of the C library look at, or change, the whole process.
std::vector<gid_t> thread_groups() {
  const long count = syscall(SYS_getgroups, 0, nullptr);
  std::vector<gid_t> groups(count > 0 ? static_cast<std::size_t>(count) : 0);
  if (!groups.empty()) syscall(SYS_getgroups, groups.size(), groups.data());
  return groups;
}

uid_t acting_uid() { return static_cast<uid_t>(setfsuid(static_cast<uid_t>(-1))); }

UserIdentity acting_identity() {
  return {.uid = acting_uid(),
          .gid = static_cast<gid_t>(setfsgid(static_cast<gid_t>(-1))),
          .groups = thread_groups()};
}

// To change groups takes a capability that a thread with another's fsuid still has: only those about files
// go.
void become(const UserIdentity& user) {
  const bool grouped = syscall(SYS_setgroups, user.groups.size(), user.groups.data()) == 0;
  setfsgid(user.gid);
  setfsuid(user.uid);
  if (grouped && acting_uid() == user.uid && static_cast<gid_t>(setfsgid(static_cast<gid_t>(-1))) == user.gid)
    return;
  log_error("files", "cannot look at files as the user {}", user.uid);
  std::abort();
}

}  // namespace

ActAs::ActAs(const UserIdentity* user) {
  if (!user || (user->uid == 0 && acting_uid() == 0)) return;
  before_ = acting_identity();
  become(*user);
}

ActAs::~ActAs() {
  if (before_) become(*before_);
}

}  // namespace berth::sys
