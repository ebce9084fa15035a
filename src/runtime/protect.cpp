// SPDX-License-Identifier: Apache-2.0
// The file of the running program is reachable from a container for a moment, as /proc/<pid>/exe of the child
// before it executes, and by a script whose interpreter is /proc/self/exe. Whoever opens it there must not be
// able to write: it would be the host's runtime that is overwritten (CVE-2019-5736).
//
// So the program executes itself once more from a read-only copy of the mount that its file is on. A link
// through /proc/<pid>/exe leads to that copy, where opening for writing fails with EROFS, and no container
// can make it writable since it is in no mount namespace. This costs an exec and no memory: the pages stay
// those of the file, shared by all. Where the kernel lacks such copies (before 5.12, or without
// CAP_SYS_ADMIN) a sealed memory file does the same for the price of the memory.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/file.h"
#include "runtime/container.h"
#include "sys/mounts.h"

namespace berth::runtime {
namespace {

constexpr unsigned kSeals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;

bool is_safe(int self) {
  struct statvfs info {};
  if (fstatvfs(self, &info) == 0 && (info.f_flag & ST_RDONLY)) return true;
  int seals = fcntl(self, F_GET_SEALS);
  return seals >= 0 && (static_cast<unsigned>(seals) & kSeals) == kSeals;
}

Fd read_only_copy(int self) {
  Fd tree(sys::raw_clone_mount(self, "", false));
  if (!tree) return Fd();
  constexpr std::uint64_t kReadOnly = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NODEV;
  if (sys::raw_set_attributes(tree.get(), kReadOnly, 0, MS_PRIVATE, false) < 0) return Fd();
  return tree;
}

Result<Fd> sealed_copy(int self) {
  Fd copy(static_cast<int>(memfd_create("berth", MFD_CLOEXEC | MFD_ALLOW_SEALING)));
  if (!copy) return fail_errno(errno, "cannot make a memory file for a copy of this program");
  struct stat info {};
  if (fstat(self, &info) != 0) return fail_errno(errno, "cannot read this program's own file");
  off_t offset = 0;
  while (offset < info.st_size) {
    ssize_t sent = sendfile(copy.get(), self, &offset, static_cast<std::size_t>(info.st_size - offset));
    if (sent <= 0) return fail_errno(sent ? errno : EIO, "cannot copy this program's own file");
  }
  if (fchmod(copy.get(), 0500) != 0 || fcntl(copy.get(), F_ADD_SEALS, kSeals) != 0)
    return fail_errno(errno, "cannot seal the copy of this program");
  return copy;
}

Result<Fd> safe_copy(int file) {
  Fd copy = read_only_copy(file);
  if (copy) return copy;
  return sealed_copy(file);
}

}  // namespace

Result<Fd> protected_executable(const std::string& path) {
  Fd file = TRY(open_file(path, O_RDONLY));
  return safe_copy(file.get());
}

Result<void> protect_own_executable(char** arguments, char** environment) {
  Fd self = TRY(open_file("/proc/self/exe", O_RDONLY));
  if (is_safe(self.get())) {
    // Children are born with this; only a root needs it, and for others it would hide their own /proc files.
    if (geteuid() == 0) prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    // Executed by descriptor, a program is named after its number in lists of processes.
    const char* slash = arguments[0] ? std::strrchr(arguments[0], '/') : nullptr;
    if (arguments[0]) prctl(PR_SET_NAME, slash ? slash + 1 : arguments[0], 0, 0, 0);
    return {};
  }
  Fd copy = TRY(safe_copy(self.get()));
  syscall(SYS_execveat, copy.get(), "", arguments, environment, AT_EMPTY_PATH);
  return fail_errno(errno, "cannot execute the protected copy of this program");
}

}  // namespace berth::runtime
