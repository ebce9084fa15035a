// SPDX-License-Identifier: Apache-2.0
// Sockets to backends, on their way.
#pragma once
#include <openssl/types.h>

#include <expected>

#include "proxy/routes/endpoint.h"
#include "proxy/worker/connection.h"

namespace berth::proxy {

// Why there is none: for the backend's sake, or because something has run out here, which says nothing of it:
// descriptors, which others may give back, or ports and memory.
enum class NoWay { backend, descriptors, here };

// Connecting, or connected already.
std::expected<Fd, NoWay> open_upstream_socket(const Endpoint& endpoint);

enum class SocketProgress { connected, waiting, failed };
SocketProgress progress_of(int socket) noexcept;

// The names in the certificate are checked. HTTP/2 is all that is offered to an endpoint of HTTP/2.
Ssl start_upstream_tls(SSL_CTX* context, int socket, const Endpoint& endpoint);

}  // namespace berth::proxy
