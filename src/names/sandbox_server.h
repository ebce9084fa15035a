// SPDX-License-Identifier: Apache-2.0
// Serves one container: its UDP and its TCP socket, which were made in its network namespace and keep
// belonging to it wherever the resolver runs. Whatever comes on them is from that container, and hostile.
//
// A container that floods holds up nobody: a wake-up takes one batch of its datagrams, then the others have
// their turn; its connections, and on each the bytes that it has not read or that may still come, are
// bounded.
#pragma once
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/event_loop.h"
#include "base/fd.h"
#include "names/answer.h"

namespace berth::names {

struct ServingLimits {
  std::size_t connections = 16;
  std::chrono::milliseconds idle{10'000};  // until a quiet connection is closed
  // Bytes of a connection. A query that was sent on counts as the largest answer; more queries are read when
  // there is room again.
  std::size_t unread_answers = 256 * 1024;
};

// Room for what one system call takes in and gives out; all sandboxes share one, for there is one thread.
struct DatagramBatch;
std::shared_ptr<DatagramBatch> make_datagram_batch();

// Who knows the answers. `message` and `out` are only lent.
class Answerer {
 public:
  virtual ~Answerer() = default;
  virtual Verdict answer(const std::string& sandbox, Bytes message, Transport transport,
                         std::span<unsigned char> out) = 0;
  using Deliver = std::function<void(std::optional<std::vector<unsigned char>> answer)>;
  // False: it cannot be asked now.
  virtual bool forward(const std::string& sandbox, Bytes message, const Query& query, Transport transport,
                       Deliver deliver) = 0;
};

class SandboxServer {
 public:
  // Both sockets are checked: an IPv4 or IPv6 datagram socket, and a stream socket that listens.
  static Result<std::unique_ptr<SandboxServer>> open(std::string sandbox, Fd udp, Fd tcp, EventLoop& loop,
                                                     Answerer& answerer, std::shared_ptr<DatagramBatch> batch,
                                                     ServingLimits limits);
  SandboxServer(const SandboxServer&) = delete;
  SandboxServer& operator=(const SandboxServer&) = delete;
  // Whatever was forwarded for it has to be dropped before.
  ~SandboxServer();

 private:
  struct Connection;
  using Clock = std::chrono::steady_clock;
  SandboxServer(std::string sandbox, Fd udp, Fd tcp, EventLoop& loop, Answerer& answerer,
                std::shared_ptr<DatagramBatch> batch, ServingLimits limits);
  Result<void> start();
  void on_datagrams(std::uint32_t events);
  void on_datagram(std::size_t index);
  void deliver_datagram(const SocketAddress& to, const Query& query, std::vector<unsigned char> answer);
  bool forward_datagram(Bytes message, const Query& query, const SocketAddress& from);
  void send_datagrams();
  void on_connection(std::uint32_t events);
  void on_stream(std::uint64_t number, std::uint32_t events);
  bool has_room(const Connection& connection) const;
  void answer_stream(Connection& connection);
  void answer_one(Connection& connection, Bytes message);
  bool flush(Connection& connection);
  void watch_again(Connection& connection);
  void close(std::uint64_t number);
  void arm_idle_timer();
  void give_up(Fd& socket, std::string_view what, int code);

  const std::string sandbox_;
  Fd udp_, tcp_;
  EventLoop& loop_;
  Answerer& answerer_;
  const std::shared_ptr<DatagramBatch> batch_;
  const ServingLimits limits_;
  std::map<std::uint64_t, std::unique_ptr<Connection>> connections_;
  std::uint64_t last_number_ = 0;
  std::optional<EventLoop::Timer> idle_timer_, accept_timer_;
};

}  // namespace berth::names
