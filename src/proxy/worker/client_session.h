// SPDX-License-Identifier: Apache-2.0
// A client's connection, whatever it speaks.
#pragma once
#include <string>

#include "proxy/worker/connection.h"
#include "proxy/worker/core.h"
#include "proxy/worker/downstream.h"

namespace berth::proxy {

class ClientSession;

// Whoever keeps them.
class ClientHost {
 public:
  virtual ~ClientHost() = default;
  virtual void client_closed(ClientSession& session) = 0;
  // What has been read of it begins as HTTP/2 does: another session is to take its socket and its input.
  virtual void client_speaks_http2(ClientSession& session) = 0;
};

class ClientSession : public Connection {
 public:
  ClientSession(Core& core, ClientHost& host, Fd socket, Ssl tls, std::string address, const Client& client)
      : Connection(core.buffers, std::move(socket), std::move(tls)),
        core_(core),
        host_(host),
        address_(std::move(address)),
        client_(client) {
    client_.address = address_;
  }
  virtual void start() = 0;
  virtual void drain() = 0;  // no request is to follow: ends at once when none is under way
  const Client& client() const noexcept { return client_; }
  const std::string& address() const noexcept { return address_; }

 protected:
  Core& core_;
  ClientHost& host_;
  const std::string address_;
  Client client_;  // its address is a view of address_
};

}  // namespace berth::proxy
