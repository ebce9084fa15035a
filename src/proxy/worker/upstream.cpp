// SPDX-License-Identifier: Apache-2.0
#include "proxy/worker/upstream.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

namespace berth::proxy {
namespace {

std::string host_of(const Endpoint& endpoint) {
  std::string host = endpoint.authority.substr(0, endpoint.authority.rfind(':'));
  if (host.starts_with('[')) host = host.substr(1, host.size() - 2);
  return host;
}

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

UpstreamConnection::Progress UpstreamConnection::connected() noexcept {
  if (!connecting_) return Progress::connected;
  int error = 0;
  socklen_t size = sizeof error;
  if (getsockopt(descriptor(), SOL_SOCKET, SO_ERROR, &error, &size) != 0 || error != 0)
    return Progress::failed;
  sockaddr_storage peer;
  socklen_t peer_size = sizeof peer;
  if (getpeername(descriptor(), reinterpret_cast<sockaddr*>(&peer), &peer_size) != 0)
    return Progress::waiting;
  connecting_ = false;
  return Progress::connected;
}

Upstream UpstreamPool::take_idle(const Endpoint& endpoint, UpstreamUser& user, bool may_be_lost) {
  const auto found = idle_.find(&endpoint);
  while (found != idle_.end() && !found->second.empty()) {
    if (!may_be_lost && timers_.now() - found->second.back()->idle_since_ > limits_.idle_for_once)
      return nullptr;
    Upstream connection = std::move(found->second.back());
    found->second.pop_back();
    if (!is_quiet(connection->descriptor())) {
      discard(std::move(connection));
      continue;
    }
    connection->user_ = &user;
    connection->reused_ = true;
    return connection;
  }
  return nullptr;
}

Upstream UpstreamPool::connect(const std::shared_ptr<Endpoint>& endpoint, UpstreamUser& user) {
  const Endpoint::Address& address = endpoint->address();
  Fd socket(::socket(address.address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!socket) return nullptr;
  const int on = 1;
  setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address.address), address.length) != 0 &&
      errno != EINPROGRESS)
    return nullptr;
  Ssl tls;
  if (endpoint->tls && !(tls = start_tls(socket.get(), *endpoint))) return nullptr;
  auto connection =
      std::make_unique<UpstreamConnection>(*this, buffers_, std::move(socket), std::move(tls), endpoint);
  connection->user_ = &user;
  if (!poller_.watch(connection->descriptor(), *connection)) return nullptr;
  counters_.backend_connections.add();
  return connection;
}

Ssl UpstreamPool::start_tls(int socket, const Endpoint& endpoint) {
  Ssl tls(tls_ ? SSL_new(tls_) : nullptr);
  const std::string host = host_of(endpoint);
  if (!tls || SSL_set_fd(tls.get(), socket) != 1) return nullptr;
  const bool numeric =
      host.find_first_not_of("0123456789.") == std::string::npos || host.find(':') != std::string::npos;
  if (!numeric) SSL_set_tlsext_host_name(tls.get(), host.c_str());
  const bool named = numeric ? X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(tls.get()), host.c_str()) == 1
                             : SSL_set1_host(tls.get(), host.c_str()) == 1;
  if (!named) return nullptr;
  SSL_set_connect_state(tls.get());
  return tls;
}

void UpstreamPool::keep(Upstream connection) {
  std::vector<Upstream>& idle = idle_[&connection->endpoint()];
  if (idle.size() >= limits_.kept) return discard(std::move(connection));
  connection->user_ = nullptr;
  connection->idle_since_ = timers_.now();
  timers_.set(*connection, limits_.idle);
  idle.push_back(std::move(connection));
}

void UpstreamPool::discard(Upstream connection) {
  connection->user_ = nullptr;
  connection->close();
  timers_.clear(*connection);
  poller_.bury(std::move(connection));
}

void UpstreamPool::drop_idle(UpstreamConnection& connection) {
  const auto found = idle_.find(&connection.endpoint());
  if (found == idle_.end()) return;
  const auto at = std::ranges::find(found->second, &connection, &Upstream::get);
  if (at == found->second.end()) return;
  Upstream dropped = std::move(*at);
  found->second.erase(at);
  discard(std::move(dropped));
  if (found->second.empty()) idle_.erase(found);
}

// The oldest go first at their deadlines; an entry without connections holds no endpoint.
void UpstreamPool::sweep() {
  std::erase_if(idle_, [](const auto& one) { return one.second.empty(); });
}

void UpstreamPool::close_idle() {
  for (auto& [endpoint, connections] : idle_)
    for (Upstream& connection : connections) discard(std::move(connection));
  idle_.clear();
}

}  // namespace berth::proxy
