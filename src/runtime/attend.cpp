// SPDX-License-Identifier: Apache-2.0
// Being the foreground of a container: signals in, exit code out, a terminal in between.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "base/file.h"
#include "base/process.h"
#include "base/text.h"
#include "runtime/commands.h"

namespace berth::runtime {
namespace {

// The user's own terminal in raw mode, until the end.
class RawTerminal {
 public:
  RawTerminal() {
    if (tcgetattr(0, &before_) != 0) return;
    termios raw = before_;
    cfmakeraw(&raw);
    active_ = tcsetattr(0, TCSANOW, &raw) == 0;
  }
  RawTerminal(const RawTerminal&) = delete;
  RawTerminal& operator=(const RawTerminal&) = delete;
  ~RawTerminal() {
    if (active_) tcsetattr(0, TCSANOW, &before_);
  }

 private:
  termios before_{};
  bool active_ = false;
};

void copy_size(int to) {
  winsize size{};
  if (ioctl(0, TIOCGWINSZ, &size) == 0) ioctl(to, TIOCSWINSZ, &size);
}

// False at the end of `from`.
bool relay(int from, int to) {
  std::array<char, 16384> buffer;
  Result<std::size_t> got = read_some(from, buffer);
  return got && *got > 0 && write_all(to, std::string_view(buffer.data(), *got));
}

int wait_for_exit(pid_t process) {
  int status = 0;
  while (waitpid(process, &status, 0) < 0 && errno == EINTR) {
  }
  return exit_code_of(status);
}

void pass_signal_on(int signals, pid_t process, int terminal) {
  signalfd_siginfo info{};
  if (read(signals, &info, sizeof info) != sizeof info) return;
  const int number = static_cast<int>(info.ssi_signo);
  if (number == SIGWINCH && terminal >= 0)
    copy_size(terminal);
  else if (number != SIGCHLD && number != SIGPIPE && number != SIGURG)
    kill(process, number);
}

}  // namespace

Result<int> attend(pid_t process, int pidfd, Fd terminal) {
  sigset_t all;
  sigfillset(&all);
  sigprocmask(SIG_BLOCK, &all, nullptr);
  Fd signals(signalfd(-1, &all, SFD_CLOEXEC));
  if (!signals) return fail_errno(errno, "cannot watch for signals");
  std::optional<RawTerminal> raw;
  if (terminal) {
    raw.emplace();
    copy_size(terminal.get());
  }
  std::array<pollfd, 4> watched = {{{pidfd, POLLIN, 0},
                                    {signals.get(), POLLIN, 0},
                                    {terminal.get(), POLLIN, 0},
                                    {terminal ? 0 : -1, POLLIN, 0}}};
  for (;;) {
    if (poll(watched.data(), watched.size(), -1) < 0 && errno != EINTR)
      return fail_errno(errno, "cannot wait for the container");
    if (watched[1].revents) pass_signal_on(signals.get(), process, terminal.get());
    if (watched[2].revents && !relay(terminal.get(), 1)) watched[2].fd = -1;
    if (watched[3].revents && !relay(0, terminal.get())) watched[3].fd = -1;
    if (watched[0].revents) break;
  }
  // What it wrote last is still in the terminal.
  while (watched[2].fd >= 0 && poll(&watched[2], 1, 0) > 0 && (watched[2].revents & POLLIN) &&
         relay(terminal.get(), 1)) {
  }
  return wait_for_exit(process);
}

Result<void> send_terminal(const std::string& socket_path, Fd terminal) {
  Fd connection(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!connection) return fail_errno(errno, "cannot make a socket");
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (socket_path.size() >= sizeof address.sun_path)
    return fail(ErrorKind::invalid, "the path of the console socket is too long: {}", socket_path);
  std::memcpy(address.sun_path, socket_path.c_str(), socket_path.size());
  if (connect(connection.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
    return fail_errno(errno, "cannot connect to the console socket {}", socket_path);
  char name[] = "terminal";
  iovec part{name, sizeof name - 1};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int));
  int number = terminal.get();
  std::memcpy(CMSG_DATA(header), &number, sizeof number);
  if (sendmsg(connection.get(), &message, MSG_NOSIGNAL) < 0)
    return fail_errno(errno, "cannot send the terminal to {}", socket_path);
  return {};
}

Result<void> write_pid_file(const std::string& path, pid_t process) {
  std::size_t slash = path.rfind('/');
  std::string directory = slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
  Fd opened = TRY(open_file(directory, O_RDONLY | O_DIRECTORY));
  std::string name = slash == std::string::npos ? path : path.substr(slash + 1);
  return write_file_atomically(opened.get(), name, std::to_string(process), 0644, Durability::visible);
}

Result<int> signal_number(std::string_view name) {
  if (std::optional<int> given = parse_integer<int>(name)) {
    if (*given > 0 && *given < NSIG) return *given;
  } else {
    std::string upper = to_upper(name);
    if (upper.starts_with("SIG")) upper.erase(0, 3);
    for (int number = 1; number < NSIG; ++number)
      if (const char* known = sigabbrev_np(number); known && upper == known) return number;
    if (upper.starts_with("RTMIN+"))
      if (std::optional<int> more = parse_integer<int>(std::string_view(upper).substr(6));
          more && *more >= 0 && SIGRTMIN + *more <= SIGRTMAX)
        return SIGRTMIN + *more;
  }
  return fail(ErrorKind::invalid, "\"{}\" is not a signal", name);
}

}  // namespace berth::runtime
