// SPDX-License-Identifier: Apache-2.0
// The keeper's side of protocol.h: the connection of the engine that started it, and a listening socket for
// engines that come later. Only the keeper's own user may connect. An engine that does not read is dropped:
// it finds everything in state.json when it comes back.
#pragma once
#include <functional>
#include <list>
#include <string>

#include "base/event_loop.h"
#include "base/fd.h"
#include "keeper/protocol.h"

namespace berth::keeper {

class ControlServer {
 public:
  // Names one connection until it is closed; answering a closed one does nothing.
  using ConnectionId = std::uint64_t;
  using Handler = std::function<void(ConnectionId, Message)>;

  // `abandoned` is called when the last connection has closed.
  ControlServer(EventLoop& loop, Handler handler, std::function<void()> abandoned)
      : loop_(loop), handler_(std::move(handler)), abandoned_(std::move(abandoned)) {}
  ~ControlServer();
  ControlServer(const ControlServer&) = delete;
  ControlServer& operator=(const ControlServer&) = delete;

  Result<void> listen(int run_directory);  // makes kSocketFile, mode 0600
  Result<void> serve(Fd connected);

  void answer(ConnectionId connection, std::uint64_t request, const Reply& reply);
  void broadcast(MessageKind kind, std::string_view body);

 private:
  struct Connection {
    ConnectionId id = 0;
    Fd socket;
    MessageReader reader;
  };
  void accept_one();
  void on_readable(ConnectionId id);
  void send(Connection& connection, MessageKind kind, std::uint64_t request, std::string_view body);
  void close(ConnectionId id);
  Connection* find(ConnectionId id);

  EventLoop& loop_;
  Handler handler_;
  std::function<void()> abandoned_;
  Fd listener_;
  std::list<Connection> connections_;
  ConnectionId last_id_ = 0;
};

}  // namespace berth::keeper
