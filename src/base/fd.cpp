// SPDX-License-Identifier: Apache-2.0
#include "base/fd.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

namespace berth {

void Fd::reset(int owned) noexcept {
  if (number_ >= 0) {
    int saved = errno;
    ::close(number_);  // never retried on EINTR: Linux has released the number by then
    errno = saved;
  }
  number_ = owned;
}

Result<Fd> Fd::duplicate() const {
  int copy = fcntl(number_, F_DUPFD_CLOEXEC, 3);
  if (copy < 0) return fail_errno(errno, "duplicate descriptor {}", number_);
  return Fd(copy);
}

Result<Pipe> make_pipe(int flags) {
  int ends[2];
  if (pipe2(ends, flags | O_CLOEXEC) != 0) return fail_errno(errno, "create a pipe");
  return Pipe{Fd(ends[0]), Fd(ends[1])};
}

Result<std::pair<Fd, Fd>> make_socket_pair(int type) {
  int ends[2];
  if (socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends) != 0)
    return fail_errno(errno, "create a socket pair");
  return std::pair{Fd(ends[0]), Fd(ends[1])};
}

Result<std::size_t> read_some(int fd, std::span<char> buffer) {
  for (;;) {
    ssize_t got = ::read(fd, buffer.data(), buffer.size());
    if (got >= 0) return static_cast<std::size_t>(got);
    if (errno != EINTR) return fail_errno(errno, "read");
  }
}

Result<void> read_exactly(int fd, std::span<char> buffer) {
  while (!buffer.empty()) {
    std::size_t got = TRY(read_some(fd, buffer));
    if (got == 0)
      return fail(ErrorKind::unavailable, "unexpected end of data, {} bytes short", buffer.size());
    buffer = buffer.subspan(got);
  }
  return {};
}

Result<void> write_all(int fd, std::string_view data) {
  while (!data.empty()) {
    ssize_t put = ::write(fd, data.data(), data.size());
    if (put < 0) {
      if (errno == EINTR) continue;
      return fail_errno(errno, "write");
    }
    data.remove_prefix(static_cast<std::size_t>(put));
  }
  return {};
}

Result<std::string> read_to_end(int fd, std::size_t limit) {
  std::string data;
  char buffer[16384];
  for (;;) {
    std::size_t got = TRY(read_some(fd, buffer));
    if (got == 0) return data;
    if (data.size() + got > limit) return fail(ErrorKind::invalid, "more than {} bytes of data", limit);
    data.append(buffer, got);
  }
}

}  // namespace berth
