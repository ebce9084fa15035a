// SPDX-License-Identifier: Apache-2.0
#include "names/unix_socket.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/file.h"

namespace berth::names {
namespace {

struct UnixAddress {
  sockaddr_un address{};
  socklen_t size = 0;
  Fd directory;  // held while the address is used
};

Result<UnixAddress> address_of(const std::string& path) {
  UnixAddress made;
  std::string usable = path;
  if (path.size() >= sizeof made.address.sun_path) {
    const std::size_t slash = path.rfind('/');
    made.directory = TRY(open_file(path.substr(0, slash), O_PATH | O_DIRECTORY));
    usable = fmt::format("/proc/self/fd/{}/{}", made.directory.get(), path.substr(slash + 1));
    if (usable.size() >= sizeof made.address.sun_path)
      return fail(ErrorKind::invalid, "the socket's name in {} is too long", path);
  }
  made.address.sun_family = AF_UNIX;
  std::memcpy(made.address.sun_path, usable.c_str(), usable.size() + 1);
  made.size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + usable.size() + 1);
  return made;
}

Result<Fd> make_socket(int flags) {
  Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0));
  if (!socket) return fail_errno(errno, "create a unix socket");
  return socket;
}

}  // namespace

Result<Fd> listen_at(const std::string& path) {
  const UnixAddress where = TRY(address_of(path));
  Fd socket = TRY(make_socket(SOCK_NONBLOCK));
  if (unlink(path.c_str()) != 0 && errno != ENOENT)
    return fail_errno(errno, "remove the old socket {}", path);
  // The file takes its mode from the socket's own.
  if (fchmod(socket.get(), 0600) != 0 ||
      bind(socket.get(), reinterpret_cast<const sockaddr*>(&where.address), where.size) != 0 ||
      listen(socket.get(), 64) != 0)
    return fail_errno(errno, "listen on {}", path);
  return socket;
}

Result<Fd> connect_to(const std::string& path) {
  const UnixAddress where = TRY(address_of(path));
  Fd socket = TRY(make_socket(0));
  if (connect(socket.get(), reinterpret_cast<const sockaddr*>(&where.address), where.size) != 0)
    return fail_errno(errno, "connect to the resolver of names at {}", path);
  return socket;
}

}  // namespace berth::names
