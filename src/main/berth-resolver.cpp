// SPDX-License-Identifier: Apache-2.0
// berth-resolver: answers containers' DNS questions. Started by berthd, one an engine, and told by it over
// its control socket what there is (names/client.h).
#include <grp.h>
#include <linux/capability.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/service.h"
#include "names/resolver.h"

namespace berth {
namespace {

constexpr const char* kUsage =
    "usage: berth-resolver --socket PATH [--resolv-conf FILE] [--detach]; it is started by berthd";

constexpr unsigned kNobody = 65534;  // the kernel's own number for it: overflowuid

struct CommandLine {
  names::ResolverSettings settings;
  bool detach = false;  // return when it listens, and go on in the background
};

Result<CommandLine> parse(int argc, char** argv) {
  CommandLine line;
  for (int i = 1; i < argc; ++i) {
    const std::string_view flag = argv[i];
    if (flag == "--detach") {
      line.detach = true;
      continue;
    }
    std::string* value = flag == "--socket"        ? &line.settings.socket_path
                         : flag == "--resolv-conf" ? &line.settings.resolv_conf.own
                                                   : nullptr;
    if (!value || ++i == argc) return fail(ErrorKind::invalid, "{}", kUsage);
    *value = argv[i];
  }
  if (!line.settings.socket_path.starts_with('/')) return fail(ErrorKind::invalid, "{}", kUsage);
  return line;
}

// It reads what containers and the network send, and needs nothing that root may do, nor root's files, once
// it listens. To be root without capabilities would not do: most of the host's files are root's.
Result<void> drop_privileges() {
  if (geteuid() == 0) {
    if (setgroups(0, nullptr) != 0) return fail_errno(errno, "give up groups");
    if (setresgid(kNobody, kNobody, kNobody) != 0) return fail_errno(errno, "become another group");
    if (setresuid(kNobody, kNobody, kNobody) != 0) return fail_errno(errno, "become another user");
  }
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct none[2] = {};
  if (syscall(SYS_capset, &header, none) != 0) return fail_errno(errno, "give up capabilities");
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return fail_errno(errno, "give up new privileges");
  return {};
}

Result<Fd> take_signals() {
  sigset_t stops;
  sigemptyset(&stops);
  for (int number : {SIGINT, SIGTERM, SIGQUIT}) sigaddset(&stops, number);
  sigprocmask(SIG_SETMASK, &stops, nullptr);
  signal(SIGPIPE, SIG_IGN);
  signal(SIGHUP, SIG_IGN);
  Fd descriptor(signalfd(-1, &stops, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!descriptor) return fail_errno(errno, "take signals");
  return descriptor;
}

Result<void> serve(CommandLine line, Fd ready) {
  // Signals are taken after the fork: a descriptor for them tells of those of whoever watched it first.
  const Fd signals = TRY(take_signals());
  line.settings.stop_descriptor = signals.get();
  std::unique_ptr<names::Resolver> resolver = TRY(names::Resolver::open(std::move(line.settings)));
  TRY(drop_privileges());
  if (ready) TRY(write_all(ready.get(), "+"));
  ready.reset();
  return resolver->run();
}

Result<void> run(int argc, char** argv) {
  CommandLine line = TRY(parse(argc, argv));
  if (chdir("/") != 0) return fail_errno(errno, "change to the root directory");
  prepare_to_stay();
  if (!line.detach) return serve(std::move(line), Fd());
  Pipe ready = TRY(make_pipe());
  const pid_t child = fork();
  if (child < 0) return fail_errno(errno, "go to the background");
  if (child > 0) {
    ready.write.reset();
    char mark;
    const std::size_t got = TRY(read_some(ready.read.get(), std::span(&mark, 1)));
    _exit(got == 1 ? 0 : 1);  // the child has said why
  }
  ready.read.reset();
  return serve(std::move(line), std::move(ready.write));
}

}  // namespace
}  // namespace berth

int main(int argc, char** argv) {
  if (berth::Result<void> end = berth::run(argc, argv); !end) {
    berth::log_error("resolver", "{}", end.error().message);
    return 1;
  }
  return 0;
}
