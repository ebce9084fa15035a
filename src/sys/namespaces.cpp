// SPDX-License-Identifier: Apache-2.0
#include "sys/namespaces.h"

#include <fcntl.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "base/file.h"
#include "base/text.h"

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x80
#endif

namespace berth::sys {
namespace {

constexpr std::array<NamespaceKind, 8> kKinds = {{
    {"user", "user", CLONE_NEWUSER},
    {"mount", "mnt", CLONE_NEWNS},
    {"pid", "pid", CLONE_NEWPID},
    {"network", "net", CLONE_NEWNET},
    {"ipc", "ipc", CLONE_NEWIPC},
    {"uts", "uts", CLONE_NEWUTS},
    {"cgroup", "cgroup", CLONE_NEWCGROUP},
    {"time", "time", CLONE_NEWTIME},
}};

}  // namespace

const NamespaceKind* namespace_kind(std::string_view name) {
  for (const NamespaceKind& kind : kKinds)
    if (kind.name == name) return &kind;
  return nullptr;
}

const NamespaceKind* namespace_kind_of_flag(std::uint64_t flag) {
  for (const NamespaceKind& kind : kKinds)
    if (kind.flag == flag) return &kind;
  return nullptr;
}

Result<void> check_namespace(int descriptor, const NamespaceKind& kind) {
  int type = ioctl(descriptor, NS_GET_NSTYPE);
  if (type < 0) return fail_errno(errno, "the descriptor for the {} namespace is not a namespace", kind.name);
  if (static_cast<std::uint64_t>(type) != kind.flag)
    return fail(ErrorKind::invalid, "the descriptor for the {} namespace is a namespace of another kind",
                kind.name);
  return {};
}

Result<Fd> open_namespace(const std::string& path, const NamespaceKind& kind) {
  Fd opened = TRY_AS("join the " + std::string(kind.name) + " namespace",
                     open_file(path, O_RDONLY | O_NONBLOCK | O_NOCTTY));
  Result<void> checked = check_namespace(opened.get(), kind);
  if (!checked) return fail(ErrorKind::invalid, "{} is not a {} namespace", path, kind.name);
  return opened;
}

Result<Fd> open_pidfd(pid_t process) {
  Fd opened(static_cast<int>(syscall(SYS_pidfd_open, process, 0)));
  if (!opened) {
    if (errno == ESRCH) return fail(ErrorKind::not_found, "there is no process {}", process);
    return fail_errno(errno, "cannot open process {}", process);
  }
  return opened;
}

Result<void> send_signal(int pidfd, int signal) {
  if (syscall(SYS_pidfd_send_signal, pidfd, signal, nullptr, 0) == 0) return {};
  if (errno == ESRCH) return fail(ErrorKind::not_found, "the process has exited already");
  return fail_errno(errno, "cannot send signal {}", signal);
}

Result<std::uint64_t> process_start_time(pid_t process) {
  Result<std::string> text = read_file("/proc/" + std::to_string(process) + "/stat");
  if (!text) return fail(ErrorKind::not_found, "there is no process {}", process);
  // The second field is the program's name in parentheses and may hold anything, so count from its end.
  std::size_t end = text->rfind(')');
  if (end == std::string::npos || end + 2 > text->size())
    return fail(ErrorKind::corrupt, "cannot make sense of /proc/{}/stat", process);
  std::vector<std::string_view> fields = split(std::string_view(*text).substr(end + 2), ' ');
  std::optional<std::uint64_t> start;
  if (fields.size() > 19) start = parse_integer<std::uint64_t>(fields[19]);
  if (!start) return fail(ErrorKind::corrupt, "cannot make sense of /proc/{}/stat", process);
  return *start;
}

}  // namespace berth::sys
