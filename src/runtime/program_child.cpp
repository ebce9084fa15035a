// SPDX-License-Identifier: Apache-2.0
// The child's half of a Program. Nothing here allocates, throws or uses the C library's locks: the child is a
// copy of one thread of the parent.
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <linux/keyctl.h>
#include <linux/magic.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>

#include "runtime/program.h"

namespace berth::runtime {
namespace {

// Programs expect a clean slate: nothing blocked, nothing ignored. The parent's handlers end at exec, but
// what it ignores or blocks would be inherited.
void reset_signals() noexcept {
  struct sigaction standard {};
  standard.sa_handler = SIG_DFL;
  for (int number = 1; number < 65; ++number)
    if (number != SIGKILL && number != SIGSTOP) sigaction(number, &standard, nullptr);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
}

// The raw calls: the C library's wrappers would look for other threads to change as well.
int set_ids(uid_t uid, gid_t gid) noexcept {
  if (syscall(SYS_setresgid, gid, gid, gid) != 0) return errno;
  if (syscall(SYS_setresuid, uid, uid, uid) != 0) return errno;
  return 0;
}

struct SchedulerAttributes {  // sched_setattr(2)
  std::uint32_t size = 48;
  std::uint32_t policy = 0;
  std::uint64_t flags = 0;
  std::int32_t nice = 0;
  std::uint32_t priority = 0;
  std::uint64_t runtime = 0;
  std::uint64_t deadline = 0;
  std::uint64_t period = 0;
};

void close_from(unsigned first, unsigned last) noexcept {
  if (first > last) return;
  if (syscall(SYS_close_range, first, last, 0) == 0) return;
  rlimit limit{};  // kernels before 5.9
  getrlimit(RLIMIT_NOFILE, &limit);
  for (unsigned number = first; number <= last && number < limit.rlim_cur; ++number)
    close(static_cast<int>(number));
}

// `kept` is sorted; numbers below `first` in it don't count.
void close_all_but(unsigned first, std::span<const int> kept) noexcept {
  for (int number : kept) {
    if (number < static_cast<int>(first)) continue;
    if (number > static_cast<int>(first)) close_from(first, static_cast<unsigned>(number) - 1);
    first = static_cast<unsigned>(number) + 1;
  }
  close_from(first, UINT_MAX);
}

}  // namespace

void ChildChannel::tell(const ChildRecord& record, int descriptor) const noexcept {
  iovec part{const_cast<ChildRecord*>(&record), sizeof record};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  if (descriptor >= 0) {
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(header), &descriptor, sizeof descriptor);
  }
  while (sendmsg(socket_, &message, MSG_NOSIGNAL) < 0 && errno == EINTR) {
  }
}

void ChildChannel::wait_for(ParentSays word) const noexcept {
  int from = word == ParentSays::go && go_ >= 0 ? go_ : socket_;
  ParentSays said{};
  ssize_t got;
  while ((got = read(from, &said, 1)) < 0 && errno == EINTR) {
  }
  if (got != 1 || said != word) _exit(1);
}

void ChildChannel::fail(Stage stage, int code, std::uint32_t index, StepPart part) const noexcept {
  ChildRecord record{ChildSays::failed, stage, index, code, static_cast<std::int32_t>(part)};
  if (outcome_ >= 0)
    (void)!write(outcome_, &record, sizeof record);
  else
    tell(record);
  _exit(1);
}

void Program::take_descriptors(ChildChannel& channel, std::span<int> kept,
                               std::span<int> scratch) const noexcept {
  // Not reachable by ptrace or /proc/<pid> for anyone in the container until exec makes it so again.
  prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  reset_signals();
  const int base = 3 + options_.preserved_descriptors;
  // What is needed moves out of the way of the numbers that the program will see.
  auto copy_up = [&](int descriptor) {
    int moved = fcntl(descriptor, F_DUPFD_CLOEXEC, base);
    if (moved < 0) channel.fail(Stage::descriptors, errno);
    return moved;
  };
  auto move_up = [&](int descriptor) {
    if (descriptor < 0 || descriptor >= base) return descriptor;
    int moved = copy_up(descriptor);
    close(descriptor);
    return moved;
  };
  int streams[3] = {options_.streams.input, options_.streams.output, options_.streams.error};
  if (!process_->terminal)
    for (int& stream : streams) stream = copy_up(stream < 0 ? null_.get() : stream);
  channel.moved_to(move_up(channel.socket()));
  channel.use(move_up(channel.go()), move_up(channel.outcome()));
  for (int& descriptor : kept) descriptor = move_up(descriptor);
  for (int number = 0; number < 3 && !process_->terminal; ++number) {
    if (dup2(streams[number], number) < 0) channel.fail(Stage::descriptors, errno);
    close(streams[number]);
  }
  // A parent's descriptor held here would be a leak into the container, and would keep pipes open that others
  // wait to see closed.
  std::copy(kept.begin(), kept.end(), scratch.begin());
  scratch[kept.size()] = channel.socket();
  scratch[kept.size() + 1] = channel.go();
  scratch[kept.size() + 2] = channel.outcome();
  std::sort(scratch.begin(), scratch.end());
  close_all_but(static_cast<unsigned>(base), scratch);
}

void Program::drop_descriptors(const ChildChannel& channel, int kept) const noexcept {
  int numbers[4] = {channel.socket(), channel.go(), channel.outcome(), kept};
  std::sort(numbers, numbers + 4);
  close_all_but(3 + static_cast<unsigned>(options_.preserved_descriptors), numbers);
}

int Program::take_terminal(const ChildChannel& channel, int devpts) const noexcept {
  struct statfs info {};
  if (fstatfs(devpts, &info) != 0 || info.f_type != DEVPTS_SUPER_MAGIC)
    channel.fail(Stage::terminal_filesystem, errno);
  int master = openat(devpts, "ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC | O_NOFOLLOW);
  if (master < 0) channel.fail(Stage::terminal, errno);
  int unlock = 0;
  if (ioctl(master, TIOCSPTLCK, &unlock) != 0) channel.fail(Stage::terminal, errno);
  // By descriptor, not by name: /dev/pts may be anything by now in the eyes of a path.
  int terminal = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (terminal < 0) channel.fail(Stage::terminal, errno);
  if (process_->console_size) {
    winsize size{};
    size.ws_row = static_cast<unsigned short>(process_->console_size->height);
    size.ws_col = static_cast<unsigned short>(process_->console_size->width);
    ioctl(master, TIOCSWINSZ, &size);
  }
  (void)!fchown(terminal, process_->user.uid, static_cast<gid_t>(-1));
  if (ioctl(terminal, TIOCSCTTY, 0) != 0) channel.fail(Stage::terminal, errno);
  for (int number = 0; number < 3; ++number)
    if (dup2(terminal, number) < 0) channel.fail(Stage::terminal, errno);
  if (terminal > 2) close(terminal);
  return master;
}

void Program::set_limits(const ChildChannel& channel) const noexcept {
  for (std::size_t i = 0; i < limit_numbers_.size(); ++i) {
    const oci::ResourceLimit& wanted = process_->rlimits[i];
    const __rlimit_resource number = static_cast<__rlimit_resource>(limit_numbers_[i]);
    rlimit now{};
    if (getrlimit(number, &now) == 0 && now.rlim_cur == wanted.soft && now.rlim_max == wanted.hard) continue;
    rlimit limit{wanted.soft, wanted.hard};
    if (setrlimit(number, &limit) != 0) channel.fail(Stage::rlimit, errno, static_cast<std::uint32_t>(i));
  }
}

void Program::set_schedule(const ChildChannel& channel) const noexcept {
  if (scheduler_policy_ >= 0) {
    const oci::Scheduler& in = *process_->scheduler;
    SchedulerAttributes attributes;
    attributes.policy = static_cast<std::uint32_t>(scheduler_policy_);
    attributes.flags = scheduler_flags_;
    attributes.nice = in.nice;
    attributes.priority = static_cast<std::uint32_t>(in.priority);
    attributes.runtime = in.runtime;
    attributes.deadline = in.deadline;
    attributes.period = in.period;
    if (syscall(SYS_sched_setattr, 0, &attributes, 0) != 0) channel.fail(Stage::scheduler, errno);
  }
  constexpr int kThisProcess = 1;
  if (io_priority_ >= 0 && syscall(SYS_ioprio_set, kThisProcess, 0, io_priority_) != 0)
    channel.fail(Stage::io_priority, errno);
}

bool Program::enter_directory(const ChildChannel& channel, bool last_try) const noexcept {
  if (chdir(process_->cwd.c_str()) == 0) return true;
  if (!last_try && (errno == EACCES || errno == EPERM)) return false;
  channel.fail(Stage::working_directory, errno);
}

// A working directory that was reached through a descriptor of the host's lies outside of the root: getcwd
// then gives a path that does not begin with a slash, or none. In doubt it is refused.
void Program::check_directory(const ChildChannel& channel) const noexcept {
  char path[PATH_MAX];
  long length = syscall(SYS_getcwd, path, sizeof path);
  if (length < 0) channel.fail(Stage::working_directory_outside, errno);
  if (path[0] != '/') channel.fail(Stage::working_directory_outside, ENOENT);
}

// Pipes become the user's, so that a program that is not root can open /dev/stdout and /dev/stderr.
void Program::give_streams() const noexcept {
  if (process_->user.uid == 0 || process_->terminal) return;
  for (int number = 0; number < 3; ++number) {
    struct stat info {};
    if (fstat(number, &info) != 0 || info.st_uid == process_->user.uid) continue;
    if (S_ISFIFO(info.st_mode) || S_ISSOCK(info.st_mode))
      (void)!fchown(number, process_->user.uid, static_cast<gid_t>(-1));
  }
}

void Program::become_user(const ChildChannel& channel) const noexcept {
  if (options_.new_keyring && syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, nullptr) < 0 &&
      errno != ENOSYS && errno != EPERM && errno != EDQUOT)
    channel.fail(Stage::keyring, errno);
  set_limits(channel);
  set_schedule(channel);
  // As root first, since that is how engines make directories; a network file system may refuse root and not
  // the user.
  const bool entered = enter_directory(channel, false);
  give_streams();

  if (int code = sys::limit_bounding_set(capabilities_.bounding)) channel.fail(Stage::capabilities, code);
  if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0) channel.fail(Stage::capabilities, errno);
  const std::vector<std::uint32_t>& groups = process_->user.additional_gids;
  // Always, also with no groups at all: the parent's are not the container's.
  if (syscall(SYS_setgroups, groups.size(), groups.data()) != 0) channel.fail(Stage::groups, errno);
  if (int code = set_ids(process_->user.uid, process_->user.gid)) channel.fail(Stage::user, code);
  umask(process_->user.umask.value_or(0022));
  prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);  // a change of ids resets it from a sysctl

  if (!entered) enter_directory(channel, true);
  check_directory(channel);
}

const char* Program::find_program(const ChildChannel& channel) const noexcept {
  const bool searched = process_->args[0].find('/') == std::string::npos;
  int code = ENOENT;
  for (const std::string& path : candidates_) {
    struct stat info {};
    if (stat(path.c_str(), &info) != 0)
      code = errno;
    else if (S_ISDIR(info.st_mode))
      code = EISDIR;
    else if (syscall(SYS_faccessat2, AT_FDCWD, path.c_str(), X_OK, AT_EACCESS) != 0 && errno != ENOSYS)
      code = errno;
    else if ((info.st_mode & 0111) == 0)
      code = EACCES;
    else
      return path.c_str();
  }
  channel.fail(Stage::lookup, searched ? ENOENT : code);
}

// Whatever was opened on the way ends with exec.
void Program::close_on_exec(const ChildChannel& channel) const noexcept {
  const unsigned first = 3 + static_cast<unsigned>(options_.preserved_descriptors);
  if (syscall(SYS_close_range, first, ~0u, CLOSE_RANGE_CLOEXEC) == 0) return;
  // Kernels before 5.11 have no such flag: all is closed but our own, which are close-on-exec.
  int numbers[3] = {channel.socket(), channel.go(), channel.outcome()};
  std::sort(numbers, numbers + 3);
  close_all_but(first, numbers);
}

// Without no_new_privs a filter needs CAP_SYS_ADMIN in effect, so it comes before the capabilities are given
// up. After a change of user they are permitted still, but not in effect.
void Program::load_filter_with_privileges(const ChildChannel& channel) const noexcept {
  if (process_->user.uid != 0) {
    constexpr sys::CapabilityMask kNeeded = sys::CapabilityMask{1} << CAP_SYS_ADMIN | sys::CapabilityMask{1}
                                                                                          << CAP_SETPCAP;
    sys::CapabilitySets wide = capabilities_;
    wide.permitted |= kNeeded;
    wide.effective = kNeeded;
    wide.inheritable = 0;
    if (int code = sys::set_capabilities(wide)) channel.fail(Stage::capabilities, code);
  }
  if (int code = sys::load_seccomp(*seccomp_)) channel.fail(Stage::seccomp, code);
}

void Program::execute(const ChildChannel& channel) const noexcept {
  const char* program = find_program(channel);
  if (process_->no_new_privileges && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
    channel.fail(Stage::no_new_privileges, errno);
  close_on_exec(channel);
  const bool early = seccomp_ && !process_->no_new_privileges;
  if (early) load_filter_with_privileges(channel);
  // The inheritable set is written even when it is empty: what the parent had must not survive exec.
  if (int code = sys::set_capabilities(capabilities_)) channel.fail(Stage::capabilities, code);
  if (int code = sys::set_ambient(capabilities_.ambient)) channel.fail(Stage::capabilities, code);
  if (seccomp_ && !early)
    if (int code = sys::load_seccomp(*seccomp_)) channel.fail(Stage::seccomp, code);
  execve(program, arguments_.data(), environment_.data());
  channel.fail(Stage::execute, errno);
}

}  // namespace berth::runtime
