// SPDX-License-Identifier: Apache-2.0
#include "keeper/control_server.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <vector>

#include "base/log.h"
#include "keeper/paths.h"

namespace berth::keeper {

ControlServer::~ControlServer() {
  if (listener_) loop_.forget(listener_.get());
  for (Connection& connection : connections_) loop_.forget(connection.socket.get());
}

Result<void> ControlServer::listen(int run_directory) {
  Fd socket_fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket_fd) return fail_errno(errno, "create the control socket");
  // Through the directory's descriptor: an exec root's path may be longer than a socket address holds.
  const std::string path = fmt::format("/proc/self/fd/{}/{}", run_directory, kSocketFile);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  unlinkat(run_directory, kSocketFile, 0);
  const mode_t previous = umask(0177);
  int bound = bind(socket_fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address);
  int error = errno;
  umask(previous);
  if (bound != 0) return fail_errno(error, "bind the control socket");
  if (::listen(socket_fd.get(), 8) != 0) return fail_errno(errno, "listen on the control socket");
  TRY(loop_.watch(socket_fd.get(), EPOLLIN, [this](std::uint32_t) { accept_one(); }));
  listener_ = std::move(socket_fd);
  return {};
}

void ControlServer::accept_one() {
  Fd accepted(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (!accepted) return;
  ucred peer{};
  socklen_t length = sizeof peer;
  if (getsockopt(accepted.get(), SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0 || peer.uid != geteuid())
    return;
  if (Result<void> served = serve(std::move(accepted)); !served)
    log_warning("keeper", "{}", served.error().message);
}

Result<void> ControlServer::serve(Fd connected) {
  Connection& connection = connections_.emplace_back();
  connection.id = ++last_id_;
  connection.socket = std::move(connected);
  ConnectionId id = connection.id;
  return loop_.watch(connection.socket.get(), EPOLLIN, [this, id](std::uint32_t) { on_readable(id); });
}

ControlServer::Connection* ControlServer::find(ConnectionId id) {
  auto found = std::find_if(connections_.begin(), connections_.end(),
                            [id](const Connection& connection) { return connection.id == id; });
  return found == connections_.end() ? nullptr : &*found;
}

void ControlServer::on_readable(ConnectionId id) {
  Connection* connection = find(id);
  if (!connection) return;
  Result<bool> open = connection->reader.receive(connection->socket.get(), MSG_DONTWAIT);
  for (;;) {
    Result<std::optional<Message>> message = connection->reader.next();
    if (!message) return close(id);
    if (!*message) break;
    handler_(id, std::move(**message));
    connection = find(id);  // the handler may have closed it
    if (!connection) return;
  }
  if (!open || !*open) close(id);
}

void ControlServer::send(Connection& connection, MessageKind kind, std::uint64_t request,
                         std::string_view body) {
  if (!send_message(connection.socket.get(), kind, request, body, {}, MSG_DONTWAIT)) close(connection.id);
}

void ControlServer::answer(ConnectionId id, std::uint64_t request, const Reply& reply) {
  Connection* connection = find(id);
  if (connection && request != 0) send(*connection, MessageKind::reply, request, encode(reply));
}

void ControlServer::broadcast(MessageKind kind, std::string_view body) {
  std::vector<ConnectionId> all;
  for (const Connection& connection : connections_) all.push_back(connection.id);
  for (ConnectionId id : all)
    if (Connection* connection = find(id)) send(*connection, kind, 0, body);
}

void ControlServer::close(ConnectionId id) {
  auto found = std::find_if(connections_.begin(), connections_.end(),
                            [id](const Connection& connection) { return connection.id == id; });
  if (found == connections_.end()) return;
  loop_.forget(found->socket.get());
  connections_.erase(found);
  if (connections_.empty()) abandoned_();
}

}  // namespace berth::keeper
