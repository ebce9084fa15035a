// SPDX-License-Identifier: Apache-2.0
// Sockets to backends, on their way.
#pragma once
#include <openssl/types.h>

#include "proxy/routes/endpoint.h"
#include "proxy/worker/connection.h"

namespace berth::proxy {

// Connecting, or connected already; none when there is no way.
Fd open_upstream_socket(const Endpoint& endpoint);

enum class SocketProgress { connected, waiting, failed };
SocketProgress progress_of(int socket) noexcept;

// The names in the certificate are checked. HTTP/2 is all that is offered to an endpoint of HTTP/2.
Ssl start_upstream_tls(SSL_CTX* context, int socket, const Endpoint& endpoint);

}  // namespace berth::proxy
