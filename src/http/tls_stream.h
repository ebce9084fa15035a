// SPDX-License-Identifier: Apache-2.0
// TLS over a connected socket. Internal to this room; OpenSSL stays in tls.cpp.
#pragma once
#include <memory>
#include <string>

#include "http/stream.h"
#include "http/tls.h"

namespace berth::http {

class TlsStream : public Stream {
 public:
  // Comes first, once. Fails for a peer that cannot prove who it is.
  virtual Result<void> shake_hands(const Deadline& deadline) = 0;
  virtual std::string peer_certificate_name() const = 0;

  // Copies both ways between the TLS connection and `local` until both directions have ended, passing each
  // side's half-close on to the other. Blocks.
  virtual void relay(Fd local) = 0;
};

std::unique_ptr<TlsStream> make_server_stream(Fd socket, const TlsContext& context);
// Its handshake checks the server's certificate against `host`, a name or an address, unless the settings
// forbid it.
Result<std::unique_ptr<TlsStream>> make_client_stream(Fd socket, const TlsContext& context,
                                                      const std::string& host);

}  // namespace berth::http
