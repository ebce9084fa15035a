// SPDX-License-Identifier: Apache-2.0
// The default policy as data. It allows what ordinary programs use and leaves out what reaches far into the
// kernel: modules, keyrings, tracing of other users' work, mounts, namespaces, clocks, io_uring, userfaultfd.
// It is the set that containers have come to expect from Docker; where it is stricter, a comment says why.
#include <linux/capability.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "oci/runtime_spec.h"
#include "sys/seccomp.h"

namespace berth::sys {
namespace {

constexpr const char* kFiles[] = {"access",
                                  "chdir",
                                  "chmod",
                                  "chown",
                                  "chown32",
                                  "close",
                                  "close_range",
                                  "copy_file_range",
                                  "creat",
                                  "dup",
                                  "dup2",
                                  "dup3",
                                  "faccessat",
                                  "faccessat2",
                                  "fadvise64",
                                  "fadvise64_64",
                                  "fallocate",
                                  "fanotify_mark",
                                  "fchdir",
                                  "fchmod",
                                  "fchmodat",
                                  "fchmodat2",
                                  "fchown",
                                  "fchown32",
                                  "fchownat",
                                  "fcntl",
                                  "fcntl64",
                                  "fdatasync",
                                  "fgetxattr",
                                  "flistxattr",
                                  "flock",
                                  "fremovexattr",
                                  "fsetxattr",
                                  "fstat",
                                  "fstat64",
                                  "fstatat64",
                                  "fstatfs",
                                  "fstatfs64",
                                  "fsync",
                                  "ftruncate",
                                  "ftruncate64",
                                  "futimesat",
                                  "getcwd",
                                  "getdents",
                                  "getdents64",
                                  "getxattr",
                                  "getxattrat",
                                  "inotify_add_watch",
                                  "inotify_init",
                                  "inotify_init1",
                                  "inotify_rm_watch",
                                  "ioctl",
                                  "lchown",
                                  "lchown32",
                                  "lgetxattr",
                                  "link",
                                  "linkat",
                                  "listxattr",
                                  "listxattrat",
                                  "llistxattr",
                                  "_llseek",
                                  "lremovexattr",
                                  "lseek",
                                  "lsetxattr",
                                  "lstat",
                                  "lstat64",
                                  "mkdir",
                                  "mkdirat",
                                  "mknod",
                                  "mknodat",
                                  "_newselect",
                                  "newfstatat",
                                  "open",
                                  "openat",
                                  "openat2",
                                  "pread64",
                                  "preadv",
                                  "preadv2",
                                  "pwrite64",
                                  "pwritev",
                                  "pwritev2",
                                  "read",
                                  "readahead",
                                  "readlink",
                                  "readlinkat",
                                  "readv",
                                  "removexattr",
                                  "removexattrat",
                                  "rename",
                                  "renameat",
                                  "renameat2",
                                  "rmdir",
                                  "sendfile",
                                  "sendfile64",
                                  "setxattr",
                                  "setxattrat",
                                  "splice",
                                  "stat",
                                  "stat64",
                                  "statfs",
                                  "statfs64",
                                  "statx",
                                  "symlink",
                                  "symlinkat",
                                  "sync",
                                  "sync_file_range",
                                  "syncfs",
                                  "tee",
                                  "truncate",
                                  "truncate64",
                                  "umask",
                                  "unlink",
                                  "unlinkat",
                                  "utime",
                                  "utimensat",
                                  "utimensat_time64",
                                  "utimes",
                                  "vmsplice",
                                  "write",
                                  "writev",
                                  "name_to_handle_at",
                                  "memfd_create",
                                  "memfd_secret",
                                  "io_cancel",
                                  "io_destroy",
                                  "io_getevents",
                                  "io_pgetevents",
                                  "io_pgetevents_time64",
                                  "io_setup",
                                  "io_submit",
                                  "cachestat",
                                  "file_getattr",
                                  "file_setattr"};

constexpr const char* kMemoryAndThreads[] = {"arch_prctl",
                                             "brk",
                                             "futex",
                                             "futex_requeue",
                                             "futex_time64",
                                             "futex_wait",
                                             "futex_waitv",
                                             "futex_wake",
                                             "get_robust_list",
                                             "get_thread_area",
                                             "getcpu",
                                             "madvise",
                                             "map_shadow_stack",
                                             "membarrier",
                                             "mincore",
                                             "mlock",
                                             "mlock2",
                                             "mlockall",
                                             "mmap",
                                             "mmap2",
                                             "modify_ldt",
                                             "mprotect",
                                             "mremap",
                                             "mseal",
                                             "msync",
                                             "munlock",
                                             "munlockall",
                                             "munmap",
                                             "pkey_alloc",
                                             "pkey_free",
                                             "pkey_mprotect",
                                             "process_mrelease",
                                             "remap_file_pages",
                                             "rseq",
                                             "sched_get_priority_max",
                                             "sched_get_priority_min",
                                             "sched_getaffinity",
                                             "sched_getattr",
                                             "sched_getparam",
                                             "sched_getscheduler",
                                             "sched_rr_get_interval",
                                             "sched_rr_get_interval_time64",
                                             "sched_setaffinity",
                                             "sched_setattr",
                                             "sched_setparam",
                                             "sched_setscheduler",
                                             "sched_yield",
                                             "set_robust_list",
                                             "set_thread_area",
                                             "set_tid_address"};

constexpr const char* kProcesses[] = {"capget",
                                      "capset",
                                      "execve",
                                      "execveat",
                                      "exit",
                                      "exit_group",
                                      "fork",
                                      "getegid",
                                      "getegid32",
                                      "geteuid",
                                      "geteuid32",
                                      "getgid",
                                      "getgid32",
                                      "getgroups",
                                      "getgroups32",
                                      "getpgid",
                                      "getpgrp",
                                      "getpid",
                                      "getppid",
                                      "getpriority",
                                      "getresgid",
                                      "getresgid32",
                                      "getresuid",
                                      "getresuid32",
                                      "getrlimit",
                                      "getrusage",
                                      "getsid",
                                      "gettid",
                                      "getuid",
                                      "getuid32",
                                      "ioprio_get",
                                      "ioprio_set",
                                      "kill",
                                      "landlock_add_rule",
                                      "landlock_create_ruleset",
                                      "landlock_restrict_self",
                                      "pidfd_open",
                                      "pidfd_send_signal",
                                      "prctl",
                                      "prlimit64",
                                      "restart_syscall",
                                      "rt_sigaction",
                                      "rt_sigpending",
                                      "rt_sigprocmask",
                                      "rt_sigqueueinfo",
                                      "rt_sigreturn",
                                      "rt_sigsuspend",
                                      "rt_sigtimedwait",
                                      "rt_sigtimedwait_time64",
                                      "rt_tgsigqueueinfo",
                                      "seccomp",
                                      "setfsgid",
                                      "setfsgid32",
                                      "setfsuid",
                                      "setfsuid32",
                                      "setgid",
                                      "setgid32",
                                      "setgroups",
                                      "setgroups32",
                                      "setpgid",
                                      "setpriority",
                                      "setregid",
                                      "setregid32",
                                      "setresgid",
                                      "setresgid32",
                                      "setresuid",
                                      "setresuid32",
                                      "setreuid",
                                      "setreuid32",
                                      "setrlimit",
                                      "setsid",
                                      "setuid",
                                      "setuid32",
                                      "sigaltstack",
                                      "signal",
                                      "signalfd",
                                      "signalfd4",
                                      "sigaction",
                                      "sigpending",
                                      "sigprocmask",
                                      "sigreturn",
                                      "sigsuspend",
                                      "sysinfo",
                                      "tgkill",
                                      "times",
                                      "tkill",
                                      "ugetrlimit",
                                      "uname",
                                      "vfork",
                                      "wait4",
                                      "waitid",
                                      "waitpid",
                                      "uretprobe",
                                      "lsm_get_self_attr",
                                      "lsm_list_modules"};

constexpr const char* kTimeAndEvents[] = {"alarm",
                                          "clock_adjtime",
                                          "clock_adjtime64",
                                          "clock_getres",
                                          "clock_getres_time64",
                                          "clock_gettime",
                                          "clock_gettime64",
                                          "clock_nanosleep",
                                          "clock_nanosleep_time64",
                                          "adjtimex",
                                          "epoll_create",
                                          "epoll_create1",
                                          "epoll_ctl",
                                          "epoll_ctl_old",
                                          "epoll_pwait",
                                          "epoll_pwait2",
                                          "epoll_wait",
                                          "epoll_wait_old",
                                          "eventfd",
                                          "eventfd2",
                                          "getitimer",
                                          "gettimeofday",
                                          "nanosleep",
                                          "pause",
                                          "pipe",
                                          "pipe2",
                                          "poll",
                                          "ppoll",
                                          "ppoll_time64",
                                          "pselect6",
                                          "pselect6_time64",
                                          "select",
                                          "setitimer",
                                          "time",
                                          "timer_create",
                                          "timer_delete",
                                          "timer_getoverrun",
                                          "timer_gettime",
                                          "timer_gettime64",
                                          "timer_settime",
                                          "timer_settime64",
                                          "timerfd_create",
                                          "timerfd_gettime",
                                          "timerfd_gettime64",
                                          "timerfd_settime",
                                          "timerfd_settime64",
                                          "getrandom"};

constexpr const char* kCommunication[] = {
    "accept", "accept4", "bind", "connect", "getpeername", "getsockname", "getsockopt", "listen", "recv",
    "recvfrom", "recvmmsg", "recvmmsg_time64", "recvmsg", "send", "sendmmsg", "sendmsg", "sendto",
    "setsockopt", "shutdown", "socketpair", "ipc", "mq_getsetattr", "mq_notify", "mq_open", "mq_timedreceive",
    "mq_timedreceive_time64", "mq_timedsend", "mq_timedsend_time64", "mq_unlink", "msgctl", "msgget",
    "msgrcv", "msgsnd", "semctl", "semget", "semop", "semtimedop", "semtimedop_time64", "shmat", "shmctl",
    "shmdt", "shmget",
    // kernels since 4.8 check a tracer's rights after the filter, and a tracer sees only its own container
    "ptrace", "process_vm_readv", "process_vm_writev"};

#if defined(__aarch64__) || defined(__arm__)
constexpr const char* kMachine[] = {"arm_fadvise64_64", "arm_sync_file_range", "sync_file_range2",
                                    "breakpoint",       "cacheflush",          "set_tls"};
#else
constexpr const char* kMachine[] = {"sync_file_range2"};
#endif

struct Conditional {
  const char* capability;
  std::vector<std::string> names;
};

const std::vector<Conditional>& by_capability() {
  static const std::vector<Conditional> table = {
      {"CAP_DAC_READ_SEARCH", {"open_by_handle_at"}},
      {"CAP_SYS_ADMIN",
       {"bpf",           "clone",         "clone3",         "fanotify_init",  "fsconfig",          "fsmount",
        "fsopen",        "fspick",        "lookup_dcookie", "listmount",      "lsm_set_self_attr", "mount",
        "mount_setattr", "move_mount",    "open_tree",      "open_tree_attr", "perf_event_open",   "quotactl",
        "quotactl_fd",   "setdomainname", "sethostname",    "setns",          "statmount",         "syslog",
        "umount",        "umount2",       "unshare"}},
      {"CAP_SYS_BOOT", {"reboot"}},
      {"CAP_SYS_CHROOT", {"chroot"}},
      {"CAP_SYS_MODULE", {"delete_module", "finit_module", "init_module"}},
      {"CAP_SYS_PACCT", {"acct"}},
      {"CAP_SYS_PTRACE", {"kcmp", "pidfd_getfd", "process_madvise"}},
      {"CAP_SYS_RAWIO", {"ioperm", "iopl"}},
      {"CAP_SYS_TIME", {"clock_settime", "clock_settime64", "settimeofday", "stime"}},
      {"CAP_SYS_TTY_CONFIG", {"vhangup"}},
      {"CAP_SYS_NICE", {"get_mempolicy", "mbind", "set_mempolicy", "set_mempolicy_home_node"}},
      {"CAP_SYSLOG", {"syslog"}},
      {"CAP_BPF", {"bpf"}},
      {"CAP_PERFMON", {"perf_event_open"}},
  };
  return table;
}

constexpr std::uint64_t kNewNamespaces = 0x7e020000;  // CLONE_NEW{NS,CGROUP,UTS,IPC,USER,PID,NET}
constexpr std::uint64_t kWholeInt = 0xffffffff;

oci::SeccompRule allow(std::vector<std::string> names, std::vector<oci::SeccompArgument> args = {}) {
  return {std::move(names), "SCMP_ACT_ALLOW", {}, std::move(args)};
}

void add_sockets(std::vector<oci::SeccompRule>& rules) {
  // Address families that reach outside of every namespace (vsock) or deep into the kernel (alg). Domains are
  // ints: the kernel drops the upper half of the register, so only the lower half may be compared.
  for (std::uint64_t family : {std::uint64_t{AF_ALG}, std::uint64_t{AF_VSOCK}})
    rules.push_back({{"socket"}, "SCMP_ACT_ERRNO", EPERM, {{0, kWholeInt, family, "SCMP_CMP_MASKED_EQ"}}});
  rules.push_back(allow({"socket"}));
  // i386's socketcall has its arguments in memory, where no filter can look: it must not make sockets.
  // Programs use the plain call since Linux 4.3.
  rules.push_back({{"socketcall"}, "SCMP_ACT_ERRNO", EPERM, {{0, kWholeInt, 1, "SCMP_CMP_MASKED_EQ"}}});
  rules.push_back(allow({"socketcall"}));
}

}  // namespace

oci::LinuxSeccomp default_seccomp(const std::vector<std::string>& capabilities) {
  auto has = [&](std::string_view name) {
    return std::ranges::find(capabilities, name) != capabilities.end();
  };
  oci::LinuxSeccomp policy;
  policy.default_action = "SCMP_ACT_ERRNO";
  policy.default_errno_return = EPERM;
#if defined(__x86_64__)
  // Not x32: hardly a kernel has it, and it is a second way to every call.
  policy.architectures = {"SCMP_ARCH_X86_64", "SCMP_ARCH_X86"};
#elif defined(__aarch64__)
  policy.architectures = {"SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"};
#endif
  std::vector<std::string> names;
  auto add = [&](const auto& list) { names.insert(names.end(), std::begin(list), std::end(list)); };
  add(kFiles);
  add(kMemoryAndThreads);
  add(kProcesses);
  add(kTimeAndEvents);
  add(kCommunication);
  add(kMachine);
  for (const Conditional& one : by_capability())
    if (has(one.capability)) add(one.names);
  policy.syscalls.push_back(allow(std::move(names)));

  for (std::uint64_t persona : {0x0ull, 0x8ull, 0x20000ull, 0x20008ull, 0xffffffffull})
    policy.syscalls.push_back(allow({"personality"}, {{0, persona, 0, "SCMP_CMP_EQ"}}));
  add_sockets(policy.syscalls);
  if (!has("CAP_SYS_ADMIN")) {
    policy.syscalls.push_back(allow({"clone"}, {{0, kNewNamespaces, 0, "SCMP_CMP_MASKED_EQ"}}));
    // Its flags are in memory. The C library falls back to clone when it is told that there is no such call.
    policy.syscalls.push_back({{"clone3"}, "SCMP_ACT_ERRNO", ENOSYS, {}});
  }
  return policy;
}

}  // namespace berth::sys
