// SPDX-License-Identifier: Apache-2.0
#include "proxy/worker/upstream_socket.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <sys/socket.h>

#include <cerrno>

namespace berth::proxy {
namespace {

constexpr unsigned char kHttp2[] = {2, 'h', '2'};

std::string host_of(const Endpoint& endpoint) {
  std::string host = endpoint.authority.substr(0, endpoint.authority.rfind(':'));
  if (host.starts_with('[')) host = host.substr(1, host.size() - 2);
  return host;
}

int connect_to(int socket, const Endpoint::Address& address) noexcept {
  return connect(socket, reinterpret_cast<const sockaddr*>(&address.address), address.length);
}

// EADDRNOTAVAIL says that there is no port left, or that no address here is one to reach that from. UDP has
// ports of its own, so it tells which.
NoWay reason_of(int error, const Endpoint::Address& address) noexcept {
  if (error == EMFILE || error == ENFILE) return NoWay::descriptors;
  if (error == ENOBUFS || error == ENOMEM || error == EAGAIN) return NoWay::here;
  if (error != EADDRNOTAVAIL) return NoWay::backend;
  const Fd probe(::socket(address.address.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  return !probe || connect_to(probe.get(), address) == 0 ? NoWay::here : NoWay::backend;
}

}  // namespace

std::expected<Fd, NoWay> open_upstream_socket(const Endpoint& endpoint) {
  const Endpoint::Address address = endpoint.address();
  if (address.length == 0) return std::unexpected(NoWay::backend);
  Fd socket(::socket(address.address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!socket) return std::unexpected(reason_of(errno, address));
  const int on = 1;
  setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (connect_to(socket.get(), address) == 0 || errno == EINPROGRESS) return socket;
  return std::unexpected(reason_of(errno, address));
}

SocketProgress progress_of(int socket) noexcept {
  int error = 0;
  socklen_t size = sizeof error;
  if (getsockopt(socket, SOL_SOCKET, SO_ERROR, &error, &size) != 0 || error != 0)
    return SocketProgress::failed;
  sockaddr_storage peer;
  socklen_t peer_size = sizeof peer;
  return getpeername(socket, reinterpret_cast<sockaddr*>(&peer), &peer_size) == 0 ? SocketProgress::connected
                                                                                  : SocketProgress::waiting;
}

Ssl start_upstream_tls(SSL_CTX* context, int socket, const Endpoint& endpoint) {
  Ssl tls(context ? SSL_new(context) : nullptr);
  const std::string host = host_of(endpoint);
  if (!tls || SSL_set_fd(tls.get(), socket) != 1) return nullptr;
  const bool numeric =
      host.find_first_not_of("0123456789.") == std::string::npos || host.find(':') != std::string::npos;
  if (!numeric) SSL_set_tlsext_host_name(tls.get(), host.c_str());
  const bool named = numeric ? X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(tls.get()), host.c_str()) == 1
                             : SSL_set1_host(tls.get(), host.c_str()) == 1;
  if (!named) return nullptr;
  if (endpoint.protocol == Protocol::http2 && SSL_set_alpn_protos(tls.get(), kHttp2, sizeof kHttp2) != 0)
    return nullptr;
  SSL_set_connect_state(tls.get());
  return tls;
}

}  // namespace berth::proxy
