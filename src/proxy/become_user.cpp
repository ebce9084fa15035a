// SPDX-License-Identifier: Apache-2.0
#include "proxy/become_user.h"

#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#include <cerrno>

namespace berth::proxy {

namespace {

struct Identity {
  uid_t uid = 0;
  gid_t gid = 0;
};

Result<Identity> look_up(const std::string& user, const std::string& group) {
  Identity identity;
  if (!user.empty()) {
    const passwd* entry = getpwnam(user.c_str());
    if (!entry) return fail(ErrorKind::invalid, "user: there is no user {}", user);
    identity = {entry->pw_uid, entry->pw_gid};
  }
  if (!group.empty()) {
    const struct group* entry = getgrnam(group.c_str());
    if (!entry) return fail(ErrorKind::invalid, "group: there is no group {}", group);
    identity.gid = entry->gr_gid;
  }
  return identity;
}

}  // namespace

Result<void> check_user(const std::string& user, const std::string& group) {
  TRY(look_up(user, group));
  return {};
}

Result<void> become_user(const std::string& user, const std::string& group) {
  if (geteuid() != 0) return {};
  const Identity identity = TRY(look_up(user, group));
  if (identity.uid == 0 && identity.gid == 0) return {};
  if (setgroups(1, &identity.gid) != 0 || setgid(identity.gid) != 0 || setuid(identity.uid) != 0)
    return fail_errno(errno, "become the user {}", user);
  return {};
}

}  // namespace berth::proxy
