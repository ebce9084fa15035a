// SPDX-License-Identifier: Apache-2.0
// berth-init -- PROGRAM [ARGUMENTS...]: the first process of a container that was run with --init. It starts
// the program, passes every signal on to it, reaps whatever else ends, and exits as the program did.
//
// It lives inside the container, so it is static, allocates nothing and trusts nothing.
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <initializer_list>

namespace {

void complain(const char* program, const char* why) {
  for (const char* part : {"berth-init: ", program, ": ", why, "\n"})
    (void)!write(STDERR_FILENO, part, strlen(part));
}

// In the child: its own group on the terminal, signals as they were.
[[noreturn]] void become(char** command, const sigset_t& original) {
  if (setpgid(0, 0) == 0) tcsetpgrp(STDIN_FILENO, getpid());
  sigprocmask(SIG_SETMASK, &original, nullptr);
  signal(SIGTTOU, SIG_DFL);
  signal(SIGTTIN, SIG_DFL);
  execvp(command[0], command);
  const int error = errno;
  complain(command[0], strerror(error));
  _exit(error == ENOENT ? 127 : 126);
}

// Reaps everything there is; true once the program itself has ended.
bool reap(pid_t program, int& exit_code) {
  bool ended = false;
  int status;
  for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;) {
    if (pid != program) continue;
    ended = true;
    exit_code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  }
  return ended;
}

}  // namespace

int main(int argc, char** argv) {
  int first = argc > 1 && strcmp(argv[1], "--") == 0 ? 2 : 1;
  if (argc <= first) {
    complain("usage", "berth-init -- PROGRAM [ARGUMENTS...]");
    return 2;
  }
  sigset_t all, original;
  sigfillset(&all);
  // Faults of our own must still end us.
  for (int fault : {SIGFPE, SIGILL, SIGSEGV, SIGBUS, SIGABRT, SIGTRAP, SIGSYS}) sigdelset(&all, fault);
  sigprocmask(SIG_SETMASK, &all, &original);
  signal(SIGTTOU, SIG_IGN);  // handing the terminal over must not stop us
  signal(SIGTTIN, SIG_IGN);

  const pid_t program = fork();
  if (program < 0) {
    complain("fork", strerror(errno));
    return 128;
  }
  if (program == 0) become(argv + first, original);
  for (;;) {
    int number = 0, exit_code = 0;
    if (sigwait(&all, &number) != 0) continue;
    if (number != SIGCHLD) {
      kill(program, number);
      continue;
    }
    if (reap(program, exit_code)) return exit_code;
  }
}
