// SPDX-License-Identifier: Apache-2.0
#include "names/control_server.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>

#include "base/log.h"
#include "names/unix_socket.h"

namespace berth::names {
namespace {

constexpr std::size_t kMostConnections = 64;
constexpr std::chrono::seconds kAcceptPause(1);
constexpr std::size_t kMostUnread = 64u << 20;  // replies that a peer has not fetched

}  // namespace

struct ControlServer::Connection {
  Fd socket;
  FrameReader reader;
  std::string unsent;
};

ControlServer::ControlServer(std::string path, Fd listening, EventLoop& loop, Handler handler)
    : path_(std::move(path)),
      owner_(geteuid()),
      listening_(std::move(listening)),
      loop_(loop),
      handler_(std::move(handler)) {}

Result<std::unique_ptr<ControlServer>> ControlServer::open(const std::string& path, EventLoop& loop,
                                                           Handler handler) {
  Fd listening = TRY(listen_at(path));
  std::unique_ptr<ControlServer> server(
      new ControlServer(path, std::move(listening), loop, std::move(handler)));
  ControlServer* self = server.get();
  TRY(loop.watch(self->listening_.get(), EPOLLIN, [self](auto) { self->on_connection(); }));
  return server;
}

ControlServer::~ControlServer() {
  for (auto& [number, connection] : connections_) {
    (void)flush(*connection);  // the reply to "stop"
    loop_.forget(connection->socket.get());
  }
  if (accept_timer_) loop_.cancel(*accept_timer_);
  loop_.forget(listening_.get());
  unlink(path_.c_str());  // else it stays, refuses connections, and the next one takes its place
}

bool ControlServer::may_command(int socket) const {
  ucred peer{};
  socklen_t size = sizeof peer;
  return getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 &&
         (peer.uid == 0 || peer.uid == owner_);
}

void ControlServer::on_connection() {
  Fd socket(accept4(listening_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!socket) {
    if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED || accept_timer_) return;
    // Without a descriptor for it the connection waits, and this would run again at once.
    loop_.change(listening_.get(), 0);
    accept_timer_ = loop_.after(kAcceptPause, [this] {
      accept_timer_.reset();
      loop_.change(listening_.get(), EPOLLIN);
    });
    return;
  }
  if (!may_command(socket.get()) || connections_.size() >= kMostConnections) {
    log_warning("names", "a control connection was refused");
    return;
  }
  const std::uint64_t number = ++last_number_;
  if (!loop_.watch(socket.get(), EPOLLIN,
                   [this, number](std::uint32_t events) { on_events(number, events); }))
    return;
  connections_[number] = std::make_unique<Connection>();
  connections_[number]->socket = std::move(socket);
  if (on_change) on_change();
}

void ControlServer::on_events(std::uint64_t number, std::uint32_t events) {
  Connection& connection = *connections_.at(number);
  Result<bool> open = true;
  if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) open = read_frames(connection);
  if (open && *open)
    if (Result<void> flushed = flush(connection); !flushed)
      open = std::unexpected(std::move(flushed).error());
  if (!open) log_warning("names", "a control connection was closed: {}", open.error().message);
  if (!open || !*open) return close(number);
  loop_.change(connection.socket.get(), connection.unsent.empty() ? EPOLLIN : EPOLLIN | EPOLLOUT);
}

Result<bool> ControlServer::read_frames(Connection& connection) {
  const bool open = TRY(connection.reader.receive(connection.socket.get(), MSG_DONTWAIT));
  while (std::optional<Frame> frame = TRY(connection.reader.next())) {
    const Reply reply = handler_(*std::move(frame));
    connection.unsent += encode_frame(reply.kind, reply.body);
    if (connection.unsent.size() > kMostUnread)
      return fail(ErrorKind::invalid, "the peer does not read its replies");
  }
  return open;
}

Result<void> ControlServer::flush(Connection& connection) {
  while (!connection.unsent.empty()) {
    const ssize_t sent = send(connection.socket.get(), connection.unsent.data(), connection.unsent.size(),
                              MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0 && errno == EAGAIN) return {};
    if (sent < 0) return fail_errno(errno, "reply to a control connection");
    connection.unsent.erase(0, static_cast<std::size_t>(sent));
  }
  return {};
}

void ControlServer::close(std::uint64_t number) {
  auto known = connections_.find(number);
  loop_.forget(known->second->socket.get());
  connections_.erase(known);
  if (on_change) on_change();
}

}  // namespace berth::names
