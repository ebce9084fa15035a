// SPDX-License-Identifier: Apache-2.0
#include "runtime/clone.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/file.h"

namespace berth::runtime {

Child::Child(Child&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)),
      in_cgroup_(other.in_cgroup_),
      pidfd_(std::move(other.pidfd_)),
      channel_(std::move(other.channel_)),
      own_pid_namespace_(std::move(other.own_pid_namespace_)) {}

Child::~Child() {
  if (pid_ <= 0) return;
  ::kill(pid_, SIGKILL);
  int status = 0;
  while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
}

Result<Fd> Child::prepare(const Request& request) {
  auto [mine, other] = TRY(make_socket_pair(SOCK_SEQPACKET));
  channel_ = std::move(mine);
  // A process is born into the pid namespace that its parent names beforehand; the parent itself stays.
  if (request.pid_namespace >= 0) {
    own_pid_namespace_ = TRY(open_file("/proc/self/ns/pid", O_RDONLY));
    if (setns(request.pid_namespace, CLONE_NEWPID) != 0)
      return fail_errno(errno, "cannot join the pid namespace");
  }
  return std::move(other);
}

long Child::fork_into(const Request& request) noexcept {
  clone_args arguments{};
  arguments.flags = request.namespaces | CLONE_PIDFD;
  arguments.exit_signal = SIGCHLD;
  arguments.pidfd = reinterpret_cast<__u64>(&pidfd_number_);
  long pid = -1;
  if (request.cgroup >= 0) {
    arguments.flags |= CLONE_INTO_CGROUP;
    arguments.cgroup = static_cast<__u64>(request.cgroup);
    pid = syscall(SYS_clone3, &arguments, sizeof arguments);
    in_cgroup_ = pid >= 0;
    if (pid >= 0) return pid;
    arguments.flags &= ~static_cast<__u64>(CLONE_INTO_CGROUP);
    arguments.cgroup = 0;
  }
  pid = syscall(SYS_clone3, &arguments, sizeof arguments);
  error_ = errno;
  return pid;
}

Result<void> Child::adopt(const Request& request, long pid) {
  if (pid > 0) {
    pid_ = static_cast<pid_t>(pid);
    pidfd_.reset(pidfd_number_);
  }
  if (request.pid_namespace >= 0 && setns(own_pid_namespace_.get(), CLONE_NEWPID) != 0)
    return fail_errno(errno, "cannot return to this program's own pid namespace");
  own_pid_namespace_.reset();
  if (pid < 0) return fail_errno(error_, "cannot start a process in new namespaces");
  return {};
}

// One thread that moves itself needs no lock over all forks of the machine.
void Child::enter_groups(const Request& request, const ChildChannel& channel) noexcept {
  for (const Fd& file : request.tasks)
    if (write(file.get(), "0", 1) < 0) channel.fail(Stage::control_group, errno);
}

Result<void> Child::say(ParentSays word) const {
  // A child that is gone is noticed when its words are read: there is what it failed at.
  if (send(channel_.get(), &word, sizeof word, MSG_NOSIGNAL) < 0 && errno != EPIPE && errno != ECONNRESET)
    return fail_errno(errno, "cannot talk to the container's process");
  return {};
}

Result<Child::Heard> Child::listen() const { return listen_on(channel_.get()); }

Result<Child::Heard> listen_on(int channel) {
  Child::Heard heard;
  iovec part{&heard.record, sizeof heard.record};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  ssize_t got;
  // A child that ended with a word of ours unread makes this fail once with ECONNRESET, ahead of what the
  // child said before.
  for (int resets = 0; (got = recvmsg(channel, &message, MSG_CMSG_CLOEXEC)) < 0;) {
    if (errno == EINTR || (errno == ECONNRESET && resets++ == 0)) continue;
    break;
  }
  if (got < 0 && errno != ECONNRESET) return fail_errno(errno, "cannot hear from the container's process");
  if (cmsghdr* header = CMSG_FIRSTHDR(&message); got > 0 && header && header->cmsg_type == SCM_RIGHTS) {
    int descriptor = -1;
    std::memcpy(&descriptor, CMSG_DATA(header), sizeof descriptor);
    heard.descriptor.reset(descriptor);
  }
  if (got <= 0) {
    heard.end = true;
    return heard;
  }
  if (got != sizeof heard.record)
    return fail(ErrorKind::corrupt, "the container's process sent a broken record");
  return heard;
}

Result<void> place(const Child& child, const sys::Cgroup* group, const oci::Process& process) {
  const sys::CgroupHierarchy* unified = group ? group->layout().unified() : nullptr;
  if (unified && !child.in_cgroup())
    TRY_AS("move the process into the control group " + group->path(),
           write_existing(group->directory_in(*unified) + "/cgroup.procs", std::to_string(child.pid())));
  if (process.oom_score_adj) {
    std::string value = std::to_string(*process.oom_score_adj);
    Result<void> written = write_existing("/proc/" + std::to_string(child.pid()) + "/oom_score_adj", value);
    if (!written) return fail_errno(written.error().code, "cannot set oom_score_adj to {}", value);
  }
  return {};
}

namespace {

std::string mapping_text(const std::vector<oci::IdMapping>& mappings) {
  std::string out;
  for (const oci::IdMapping& one : mappings)
    out += fmt::format("{} {} {}\n", one.container_id, one.host_id, one.size);
  return out;
}

}  // namespace

Result<void> write_id_mappings(pid_t process, const oci::Linux& config) {
  if (config.uid_mappings.empty() || config.gid_mappings.empty())
    return fail(ErrorKind::invalid, "a user namespace needs uidMappings and gidMappings");
  const std::string directory = "/proc/" + std::to_string(process);
  // Who may not map groups otherwise must give up setgroups first.
  if (geteuid() != 0) TRY(write_existing(directory + "/setgroups", "deny"));
  TRY_AS("map the container's users",
         write_existing(directory + "/uid_map", mapping_text(config.uid_mappings)));
  TRY_AS("map the container's groups",
         write_existing(directory + "/gid_map", mapping_text(config.gid_mappings)));
  return {};
}

}  // namespace berth::runtime
