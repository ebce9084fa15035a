// SPDX-License-Identifier: Apache-2.0
#include "sys/act_as.h"

#include <linux/capability.h>
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

struct Capabilities {
  __user_cap_data_struct words[_LINUX_CAPABILITY_U32S_3]{};
};

// Of this thread, as all here.
Capabilities capabilities() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  Capabilities all;
  syscall(SYS_capget, &header, all.words);
  return all;
}

bool set_effective(bool all) {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  Capabilities wanted = capabilities();
  for (__user_cap_data_struct& word : wanted.words) word.effective = all ? word.permitted : 0;
  return syscall(SYS_capset, &header, wanted.words) == 0;
}

// With all capabilities, since groups and users are changed with some; what is effective after that is the
// user's: root has what is permitted, everybody else nothing.
void become(const UserIdentity& user) {
  const bool able = set_effective(true);
  const bool grouped = syscall(SYS_setgroups, user.groups.size(), user.groups.data()) == 0;
  setfsgid(user.gid);
  setfsuid(user.uid);
  const bool settled = set_effective(user.uid == 0);
  const bool there =
      acting_uid() == user.uid && static_cast<gid_t>(setfsgid(static_cast<gid_t>(-1))) == user.gid;
  if (able && grouped && settled && there) return;
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
