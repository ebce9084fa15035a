// SPDX-License-Identifier: Apache-2.0
#include "runtime/hooks.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "base/fd.h"
#include "base/process.h"
#include "sys/namespaces.h"

namespace berth::runtime {
namespace {

constexpr int kDefaultTimeout = 30;  // seconds

// The state is small enough to fit a pipe's buffer, so writing it before the hook reads cannot block.
Result<Fd> pipe_with(const std::string& state) {
  Pipe pipe = TRY(make_pipe());
  if (state.size() > 60000)
    return fail(ErrorKind::invalid, "the container's annotations are too large for hooks");
  TRY(write_all(pipe.write.get(), state));
  return std::move(pipe.read);
}

Result<void> run_hook(const oci::Hook& hook, const std::string& state, std::string_view kind) {
  if (hook.path.empty() || hook.path[0] != '/')
    return fail(ErrorKind::invalid, "the path of a {} hook must be absolute: \"{}\"", kind, hook.path);
  Fd input = TRY(pipe_with(state));
  SpawnRequest request;
  request.arguments = hook.args.empty() ? std::vector<std::string>{hook.path} : hook.args;
  request.arguments[0] = hook.path;
  request.environment = hook.env;
  request.standard_input = input.get();
  Process process = TRY_AS(fmt::format("{} hook", kind), Process::spawn(request));
  Fd watched = TRY(sys::open_pidfd(process.pid()));
  pollfd wait{watched.get(), POLLIN, 0};
  int timeout = hook.timeout.value_or(kDefaultTimeout);
  int ready;
  while ((ready = poll(&wait, 1, timeout * 1000)) < 0 && errno == EINTR) {
  }
  if (ready == 0)  // its destructor ends it
    return fail(ErrorKind::timeout, "the {} hook {} took longer than {} s", kind, hook.path, timeout);
  int code = TRY(process.wait());
  if (code != 0)
    return fail(ErrorKind::system, "the {} hook {} failed with exit code {}", kind, hook.path, code);
  return {};
}

}  // namespace

Result<void> run_hooks(const std::vector<oci::Hook>& hooks, const std::string& state, std::string_view kind) {
  for (const oci::Hook& hook : hooks) TRY(run_hook(hook, state, kind));
  return {};
}

std::vector<PreparedHook> prepare_hooks(const std::vector<oci::Hook>& hooks) {
  std::vector<PreparedHook> out;
  for (const oci::Hook& hook : hooks) {
    PreparedHook& one = out.emplace_back();
    one.path = hook.path.c_str();
    if (hook.args.empty()) one.arguments.push_back(const_cast<char*>(hook.path.c_str()));
    for (const std::string& argument : hook.args)
      one.arguments.push_back(const_cast<char*>(argument.c_str()));
    one.arguments.push_back(nullptr);
    for (const std::string& variable : hook.env)
      one.environment.push_back(const_cast<char*>(variable.c_str()));
    one.environment.push_back(nullptr);
  }
  return out;
}

int run_prepared_hook(const PreparedHook& hook, const std::string& state) noexcept {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return errno;
  if (write(ends[1], state.data(), state.size()) < 0) return errno;
  close(ends[1]);
  long child = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
  if (child < 0) return errno;
  if (child == 0) {
    dup2(ends[0], 0);
    execve(hook.path, hook.arguments.data(), hook.environment.data());
    _exit(127);
  }
  close(ends[0]);
  int status = 0;
  while (syscall(SYS_wait4, child, &status, 0, nullptr) < 0)
    if (errno != EINTR) return errno;
  return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : ECANCELED;
}

}  // namespace berth::runtime
