// SPDX-License-Identifier: Apache-2.0
#include "names/unix_socket.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include <cerrno>

#include "base/unix_address.h"

namespace berth::names {
namespace {

Result<Fd> make_socket(int flags) {
  Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0));
  if (!socket) return fail_errno(errno, "create a unix socket");
  return socket;
}

}  // namespace

Result<Fd> listen_at(const std::string& path) {
  const UnixAddress where = TRY(make_unix_address(path));
  Fd socket = TRY(make_socket(SOCK_NONBLOCK));
  if (unlink(path.c_str()) != 0 && errno != ENOENT)
    return fail_errno(errno, "remove the old socket {}", path);
  // The file takes its mode from the socket's own.
  if (fchmod(socket.get(), 0600) != 0 || bind(socket.get(), where.get(), where.size) != 0 ||
      listen(socket.get(), 64) != 0)
    return fail_errno(errno, "listen on {}", path);
  return socket;
}

Result<Fd> connect_to(const std::string& path, std::chrono::milliseconds limit) {
  const UnixAddress where = TRY(make_unix_address(path));
  Fd socket = TRY(make_socket(0));
  // Before connect(2), which waits for room in the listener's queue: for ever without a limit.
  const timeval time{.tv_sec = limit.count() / 1000, .tv_usec = limit.count() % 1000 * 1000};
  if (setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &time, sizeof time) != 0 ||
      setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time) != 0)
    return fail_errno(errno, "limit a connection's time");
  int done;
  do done = connect(socket.get(), where.get(), where.size);
  while (done != 0 && errno == EINTR);
  if (done == 0) return socket;
  if (errno == EAGAIN)
    return fail(ErrorKind::timeout, "the resolver of names at {} takes no connection", path);
  return fail_errno(errno, "connect to the resolver of names at {}", path);
}

}  // namespace berth::names
