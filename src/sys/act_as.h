// SPDX-License-Identifier: Apache-2.0
// Looking at files with somebody else's permissions (setfsuid(2)): what the kernel lets that user open, this
// thread opens, and nothing else. Other threads are not touched.
//
//   UserIdentity user{.uid = 1000, .gid = 1000, .groups = {27}};
//   {
//     const ActAs acting(&user);
//     ... openat, fstatat, readlinkat ...
//   }
//
// Its capabilities rest meanwhile, those about files and all others: procfs shows more to whoever has some.
// Descriptors that are open already keep what they can do.
#pragma once
#include <sys/types.h>

#include <optional>
#include <vector>

namespace berth::sys {

struct UserIdentity {
  uid_t uid = 0;
  gid_t gid = 0;
  std::vector<gid_t> groups;  // supplementary
};

// For as long as it lives, on the thread that made it. Nothing changes for null, and for root where this
// program is root. They nest. A program that may not do it (it is not root) ends rather than look with more
// permissions than it was told.
class ActAs {
 public:
  explicit ActAs(const UserIdentity* user);
  ActAs(const ActAs&) = delete;
  ActAs& operator=(const ActAs&) = delete;
  ~ActAs();

 private:
  std::optional<UserIdentity> before_;
};

}  // namespace berth::sys
