// SPDX-License-Identifier: Apache-2.0
#include "base/process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

namespace berth {
namespace {

std::vector<char*> pointers_to(const std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  for (const std::string& text : strings) pointers.push_back(const_cast<char*>(text.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

// The spawn's two C structures, freed together.
struct SpawnSettings {
  SpawnSettings() {
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
  }
  ~SpawnSettings() {
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
  }
  SpawnSettings(const SpawnSettings&) = delete;
  SpawnSettings& operator=(const SpawnSettings&) = delete;
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
};

void place(SpawnSettings& settings, int number, int source, int null_flags) {
  if (source >= 0)
    posix_spawn_file_actions_adddup2(&settings.actions, source, number);
  else if (null_flags >= 0)
    posix_spawn_file_actions_addopen(&settings.actions, number, "/dev/null", null_flags, 0);
}

}  // namespace

Result<Process> Process::spawn(const SpawnRequest& request) {
  SpawnSettings settings;
  place(settings, 0, request.standard_input, O_RDONLY);
  place(settings, 1, request.standard_output, O_WRONLY);
  place(settings, 2, request.standard_error, -1);
  for (auto [number, source] : request.descriptors) {
    if (number == source) {
      // A dup2 onto itself keeps close-on-exec on old C libraries; go through a second number.
      return fail(ErrorKind::invalid, "descriptor {} is to be passed on as itself", number);
    }
    posix_spawn_file_actions_adddup2(&settings.actions, source, number);
  }

  // The child starts with an empty signal mask and default dispositions, whatever we block or ignore.
  sigset_t none, all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_setsigmask(&settings.attributes, &none);
  posix_spawnattr_setsigdefault(&settings.attributes, &all);
  short flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF;
  if (request.new_session) flags |= POSIX_SPAWN_SETSID;
  posix_spawnattr_setflags(&settings.attributes, flags);

  std::vector<char*> arguments = pointers_to(request.arguments);
  std::vector<char*> environment = pointers_to(request.environment);
  pid_t pid = -1;
  const char* executable = request.executable.empty() ? arguments[0] : request.executable.c_str();
  int error = posix_spawnp(&pid, executable, &settings.actions, &settings.attributes, arguments.data(),
                           environment.data());
  if (error != 0) return fail_errno(error, "start {}", request.arguments[0]);
  return Process(pid);
}

Process::~Process() {
  if (pid_ <= 0) return;
  kill(pid_, SIGKILL);
  (void)wait();
}

Result<int> Process::wait() {
  int status = 0;
  while (waitpid(pid_, &status, 0) < 0)
    if (errno != EINTR) return fail_errno(errno, "wait for process {}", pid_);
  pid_ = -1;
  return exit_code_of(status);
}

int exit_code_of(int wait_status) noexcept {
  return WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
}

namespace {

constexpr std::size_t kOutputLimit = 16u << 20;

// Feeds and drains the three pipes until both outputs have ended.
Result<void> exchange(Fd input, std::string_view text, Fd output, Fd errors, Output& result) {
  char buffer[16384];
  while (output || errors) {
    pollfd polled[3] = {{input.get(), POLLOUT, 0}, {output.get(), POLLIN, 0}, {errors.get(), POLLIN, 0}};
    if (poll(polled, 3, -1) < 0) {
      if (errno == EINTR) continue;
      return fail_errno(errno, "poll");
    }
    if (polled[0].revents != 0) {
      ssize_t put = text.empty() ? -1 : ::write(input.get(), text.data(), text.size());
      if (put > 0) text.remove_prefix(static_cast<std::size_t>(put));
      if (text.empty() || (put < 0 && errno != EAGAIN && errno != EINTR)) input.reset();
    }
    auto drain = [&](Fd& from, short events, std::string& into) -> Result<void> {
      if (events == 0) return {};
      std::size_t got = TRY(read_some(from.get(), buffer));
      if (got == 0) from.reset();
      if (into.size() + got > kOutputLimit)
        return fail(ErrorKind::exhausted, "more than {} bytes", kOutputLimit);
      into.append(buffer, got);
      return {};
    };
    TRY(drain(output, polled[1].revents, result.standard_output));
    TRY(drain(errors, polled[2].revents, result.standard_error));
  }
  return {};
}

}  // namespace

Result<Output> run_program(const std::vector<std::string>& arguments, std::string_view input) {
  Pipe in = TRY(make_pipe()), out = TRY(make_pipe()), errors = TRY(make_pipe());
  SpawnRequest request;
  request.arguments = arguments;
  for (char** entry = environ; *entry; ++entry) request.environment.emplace_back(*entry);
  request.standard_input = in.read.get();
  request.standard_output = out.write.get();
  request.standard_error = errors.write.get();
  Process child = TRY(Process::spawn(request));
  in.read.reset();
  out.write.reset();
  errors.write.reset();
  fcntl(in.write.get(), F_SETFL, O_NONBLOCK);
  Output result;
  TRY_AS(arguments[0],
         exchange(std::move(in.write), input, std::move(out.read), std::move(errors.read), result));
  result.exit_code = TRY(child.wait());
  return result;
}

}  // namespace berth
