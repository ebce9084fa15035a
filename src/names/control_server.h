// SPDX-License-Identifier: Apache-2.0
// The resolver's side of the control socket. Peers are root or of the resolver's own user (SO_PEERCRED);
// others, and whoever breaks the protocol, are hung up on. The own user is the one that opened it: the
// process may give that user up afterwards, and who it is then commands nothing.
#pragma once
#include <sys/types.h>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "base/event_loop.h"
#include "names/protocol.h"

namespace berth::names {

class ControlServer {
 public:
  struct Reply {
    MessageKind kind = MessageKind::done;
    std::string body;
  };
  using Handler = std::function<Reply(Frame frame)>;

  static Result<std::unique_ptr<ControlServer>> open(const std::string& path, EventLoop& loop,
                                                     Handler handler);
  ControlServer(const ControlServer&) = delete;
  ControlServer& operator=(const ControlServer&) = delete;
  ~ControlServer();  // removes the socket's file, where the process still may

  std::size_t connections() const { return connections_.size(); }
  // Told when a connection has come or gone.
  std::function<void()> on_change;

 private:
  struct Connection;
  ControlServer(std::string path, Fd listening, EventLoop& loop, Handler handler);
  bool may_command(int socket) const;
  void on_connection();
  void on_events(std::uint64_t number, std::uint32_t events);
  Result<bool> read_frames(Connection& connection);
  Result<void> flush(Connection& connection);
  void close(std::uint64_t number);

  const std::string path_;
  const uid_t owner_;
  Fd listening_;
  EventLoop& loop_;
  Handler handler_;
  std::map<std::uint64_t, std::unique_ptr<Connection>> connections_;
  std::uint64_t last_number_ = 0;
  std::optional<EventLoop::Timer> accept_timer_;
};

}  // namespace berth::names
