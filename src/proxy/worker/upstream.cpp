// SPDX-License-Identifier: Apache-2.0
#include "proxy/worker/upstream.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "proxy/worker/upstream_socket.h"

namespace berth::proxy {
namespace {

// Something that has come meanwhile is an end, or belongs to nothing: it would be read as the next answer.
bool is_quiet(int socket) noexcept {
  char byte;
  return recv(socket, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

}  // namespace

void UpstreamConnection::on_events(std::uint32_t events) {
  if (closed()) return;
  note(events);
  if (user_) return user_->on_upstream_event();
  // Nothing is due on an idle one: it is an end, or what nobody asked for. EPOLLOUT alone is neither.
  if (events & ~static_cast<std::uint32_t>(EPOLLOUT)) pool_.drop_idle(*this);
}

void UpstreamConnection::on_deadline() {
  if (closed()) return;
  if (user_) return user_->on_upstream_deadline();
  pool_.drop_idle(*this);
}

UpstreamLink::Progress UpstreamConnection::connected() noexcept {
  if (!connecting_) return Progress::connected;
  switch (progress_of(descriptor())) {
    case SocketProgress::waiting:
      return Progress::waiting;
    case SocketProgress::failed:
      return Progress::failed;
    case SocketProgress::connected:
      break;
  }
  connecting_ = false;
  return Progress::connected;
}

void UpstreamConnection::leave(Upstream self, bool reusable) {
  UpstreamPool::Connected connection(static_cast<UpstreamConnection*>(self.release()));
  if (reusable)
    pool_.keep_idle(std::move(connection));
  else
    pool_.bury(std::move(connection));
}

Upstream UpstreamPool::take_idle(const Endpoint& endpoint, UpstreamUser& user, bool may_be_lost) {
  const auto found = idle_.find(&endpoint);
  while (found != idle_.end() && !found->second.empty()) {
    if (!may_be_lost && timers_.now() - found->second.back()->idle_since_ > limits_.idle_for_once)
      return nullptr;
    Connected connection = std::move(found->second.back());
    found->second.pop_back();
    if (connection->moves_ != endpoint.moves.load() || !is_quiet(connection->descriptor())) {
      bury(std::move(connection));
      continue;
    }
    connection->user_ = &user;
    connection->reused_ = true;
    return connection;
  }
  return nullptr;
}

std::expected<Upstream, NoWay> UpstreamPool::connect(const std::shared_ptr<Endpoint>& endpoint,
                                                     UpstreamUser& user) {
  std::expected<Upstream, NoWay> begun = begin(endpoint, user);
  if (begun || begun.error() != NoWay::descriptors || !drop_one_idle()) return begun;
  return begin(endpoint, user);
}

std::expected<Upstream, NoWay> UpstreamPool::begin(const std::shared_ptr<Endpoint>& endpoint,
                                                   UpstreamUser& user) {
  if (endpoint->protocol == Protocol::http2) return http2_.begin(endpoint, user);
  const std::uint32_t moves = endpoint->moves.load();  // before the address is asked for
  std::expected<Fd, NoWay> socket = open_upstream_socket(*endpoint);
  if (!socket) return std::unexpected(socket.error());
  Ssl tls;
  if (endpoint->tls && !(tls = start_upstream_tls(tls_, socket->get(), *endpoint)))
    return std::unexpected(NoWay::backend);
  auto connection = std::make_unique<UpstreamConnection>(*this, buffers_, std::move(*socket), std::move(tls),
                                                         endpoint, moves);
  connection->user_ = &user;
  if (!poller_.watch(connection->descriptor(), *connection)) return std::unexpected(NoWay::here);
  counters_.backend_connections.add();
  return connection;
}

void UpstreamPool::keep_idle(Connected connection) {
  std::vector<Connected>& idle = idle_[&connection->endpoint()];
  if (idle.size() >= limits_.kept) return bury(std::move(connection));
  connection->user_ = nullptr;
  connection->idle_since_ = timers_.now();
  timers_.set(*connection, limits_.idle);
  idle.push_back(std::move(connection));
}

void UpstreamPool::bury(Connected connection) {
  connection->user_ = nullptr;
  connection->close();
  timers_.clear(*connection);
  poller_.bury(std::move(connection));
}

void UpstreamPool::drop_idle(UpstreamConnection& connection) {
  const auto found = idle_.find(&connection.endpoint());
  if (found == idle_.end()) return;
  const auto at = std::ranges::find(found->second, &connection, &Connected::get);
  if (at == found->second.end()) return;
  Connected dropped = std::move(*at);
  found->second.erase(at);
  bury(std::move(dropped));
  if (found->second.empty()) idle_.erase(found);
}

// The oldest go first at their deadlines; an entry without connections holds no endpoint.
void UpstreamPool::sweep() {
  std::erase_if(idle_, [](const auto& one) { return one.second.empty(); });
}

// Of those of an endpoint the one that was idle for longest.
bool UpstreamPool::drop_one_idle() {
  for (auto& [endpoint, connections] : idle_) {
    if (connections.empty()) continue;
    Connected dropped = std::move(connections.front());
    connections.erase(connections.begin());
    bury(std::move(dropped));
    return true;
  }
  return false;
}

void UpstreamPool::close_idle() {
  for (auto& [endpoint, connections] : idle_)
    for (Connected& connection : connections) bury(std::move(connection));
  idle_.clear();
  http2_.close_idle();
}

}  // namespace berth::proxy
