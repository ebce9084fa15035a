// SPDX-License-Identifier: Apache-2.0
#include "http/listener.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "base/text.h"
#include "base/unix_address.h"
#include "http/client.h"

namespace berth::http {
namespace {

constexpr int kBacklog = 4096;  // the kernel caps it at net.core.somaxconn

// Makes way for a new socket at `path`: removes one that nobody listens on any more.
Result<void> clear_stale_socket(const std::string& path) {
  struct stat info;
  if (lstat(path.c_str(), &info) != 0) {
    if (errno == ENOENT) return {};
    return fail_errno(errno, "listen on unix://{}", path);
  }
  if (!S_ISSOCK(info.st_mode))
    return fail(ErrorKind::conflict, "listen on unix://{}: something that is not a socket is there", path);
  Result<Fd> answer = connect_unix(path);
  if (answer) return fail(ErrorKind::conflict, "listen on unix://{}: another program listens there", path);
  if (answer.error().code != ECONNREFUSED) return std::unexpected(std::move(answer).error());
  if (unlink(path.c_str()) != 0 && errno != ENOENT)
    return fail_errno(errno, "remove the stale socket {}", path);
  return {};
}

struct AddressListCloser {
  void operator()(addrinfo* list) const noexcept { freeaddrinfo(list); }
};

}  // namespace

Result<Listener> listen_unix(const std::string& path, mode_t mode, std::optional<gid_t> group) {
  TRY(clear_stale_socket(path));
  UnixAddress address = TRY(make_unix_address(path));
  Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) return fail_errno(errno, "create a unix socket");
  // The new file takes its mode from the socket's own (less the umask): it is never open to others, not even
  // before the group is set.
  if (fchmod(socket.get(), mode & 0700) != 0) return fail_errno(errno, "set the mode of unix://{}", path);
  if (bind(socket.get(), address.get(), address.size) != 0)
    return fail_errno(errno, "listen on unix://{}", path);
  if (group && lchown(path.c_str(), static_cast<uid_t>(-1), *group) != 0)
    return fail_errno(errno, "give unix://{} to group {}", path, *group);
  if (chmod(path.c_str(), mode) != 0) return fail_errno(errno, "set the mode of unix://{}", path);
  if (listen(socket.get(), kBacklog) != 0) return fail_errno(errno, "listen on unix://{}", path);
  return Listener{std::move(socket), nullptr, "unix://" + path};
}

Result<Listener> listen_tcp(const std::string& host, std::uint16_t port, std::shared_ptr<TlsContext> tls) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const std::string service = std::to_string(port);
  int error = getaddrinfo(host.empty() ? nullptr : host.c_str(), service.c_str(), &hints, &found);
  if (error != 0) return fail(ErrorKind::invalid, "listen on {}: {}", host, gai_strerror(error));
  std::unique_ptr<addrinfo, AddressListCloser> list(found);
  // All interfaces: IPv6's any-address takes IPv4 as well, where there is IPv6.
  if (host.empty())
    for (addrinfo* entry = found; entry; entry = entry->ai_next)
      if (entry->ai_family == AF_INET6) found = entry;

  Fd socket(::socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket && host.empty() && errno == EAFNOSUPPORT) return listen_tcp("0.0.0.0", port, std::move(tls));
  const std::string name = fmt::format("tcp://{}:{}", host.empty() ? "*" : host, port);
  if (!socket) return fail_errno(errno, "listen on {}", name);
  const int on = 1, off = 0;
  setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (found->ai_family == AF_INET6 && host.empty())
    setsockopt(socket.get(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
  if (bind(socket.get(), found->ai_addr, found->ai_addrlen) != 0 || listen(socket.get(), kBacklog) != 0)
    return fail_errno(errno, "listen on {}", name);
  return Listener{std::move(socket), std::move(tls), name};
}

Result<Listener> adopt_listener(Fd socket, std::shared_ptr<TlsContext> tls) {
  int listening = 0, domain = 0;
  socklen_t size = sizeof listening;
  if (getsockopt(socket.get(), SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) != 0)
    return fail_errno(errno, "use the inherited descriptor {}", socket.get());
  if (!listening)
    return fail(ErrorKind::invalid, "the inherited descriptor {} does not listen", socket.get());
  getsockopt(socket.get(), SOL_SOCKET, SO_DOMAIN, &domain, &size);
  if (domain == AF_UNIX && tls) tls = nullptr;
  fcntl(socket.get(), F_SETFD, FD_CLOEXEC);
  fcntl(socket.get(), F_SETFL, fcntl(socket.get(), F_GETFL) | O_NONBLOCK);
  std::string name = fmt::format("fd://{}", socket.get());
  return Listener{std::move(socket), std::move(tls), std::move(name)};
}

std::vector<Fd> take_systemd_sockets() {
  constexpr int kFirst = 3;
  std::vector<Fd> sockets;
  const char* pid = std::getenv("LISTEN_PID");
  const char* count = std::getenv("LISTEN_FDS");
  if (pid && count && parse_integer<pid_t>(pid) == getpid())
    for (int number = kFirst; number < kFirst + parse_integer<int>(count).value_or(0); ++number)
      if (fcntl(number, F_SETFD, FD_CLOEXEC) == 0) sockets.emplace_back(number);
  for (const char* name : {"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"}) unsetenv(name);
  return sockets;
}

std::uint16_t port_of(const Listener& listener) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (getsockname(listener.socket.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0) return 0;
  if (address.ss_family == AF_INET) return ntohs(reinterpret_cast<sockaddr_in*>(&address)->sin_port);
  if (address.ss_family == AF_INET6) return ntohs(reinterpret_cast<sockaddr_in6*>(&address)->sin6_port);
  return 0;
}

}  // namespace berth::http
