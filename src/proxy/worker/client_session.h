// SPDX-License-Identifier: Apache-2.0
// A client's connection, whatever it speaks.
#pragma once
#include <string>

#include "proxy/worker/connection.h"
#include "proxy/worker/downstream.h"

namespace berth::proxy {

class ClientSession : public Connection {
 public:
  using Connection::Connection;
  virtual void start() = 0;
  virtual void drain() = 0;  // no request is to follow: ends at once when none is under way
};

// Whoever keeps them.
class ClientHost {
 public:
  virtual ~ClientHost() = default;
  virtual void client_closed(ClientSession& session) = 0;
};

}  // namespace berth::proxy
