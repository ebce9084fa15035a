// SPDX-License-Identifier: Apache-2.0
// The engine's side: finds or starts its resolver, and tells it what there is.
//
//   auto client = TRY(names::Client::connect_or_start({...}));
//   for (...) TRY(client->set_network(...));              // after every connect: what is true now,
//   Listing known = TRY(client->list());                  // remove what the engine does not have any more,
//   for (...) TRY(client->add_sandbox(id, view, &sockets));  // and give sockets to those that are not
//   `serving`
//
//   on a thread inside the container's network namespace:
//   SandboxSockets sockets = TRY(names::open_sandbox_sockets());
//   // and port 53 of kListeningAddress is redirected there to sockets.udp_port and sockets.tcp_port
//
// A call that fails with the kind `unavailable` or `timeout` has lost its connection: the client is of no
// more use, connect_or_start() makes the next one. Errors of other kinds are the resolver's answer, and the
// connection is fine.
//
// The resolver holds a sandbox's namespace alive by its sockets: remove_sandbox() lets go of it.
#pragma once
#include <chrono>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/fd.h"
#include "names/protocol.h"
#include "names/records.h"

namespace berth::names {

// What containers' resolv.conf names: Docker's address, inside of each container's own namespace.
inline constexpr const char* kListeningAddress = "127.0.0.11";

struct SandboxSockets {
  Fd udp, tcp;
  std::uint16_t udp_port = 0, tcp_port = 0;
};
// For the network namespace of the calling thread, whose loopback has to be up.
Result<SandboxSockets> open_sandbox_sockets();

struct Launch {
  std::string program;  // berth-resolver, a path
  std::string socket_path;
  std::string resolv_conf;                   // empty: /etc/resolv.conf
  int standard_error = -1;                   // where it logs to; -1: to the engine's
  std::chrono::milliseconds timeout{5'000};  // of each call
};

// May be used by several threads; calls take turns.
class Client {
 public:
  static Result<std::unique_ptr<Client>> connect(const std::string& socket_path,
                                                 std::chrono::milliseconds timeout);
  // Starts one when none listens. It is nobody's child then, and does not end with the caller.
  static Result<std::unique_ptr<Client>> connect_or_start(const Launch& launch);

  Result<void> ping();
  Result<Listing> list();
  Result<void> stop();  // it has ended, or will at once; names are not resolved any more

  Result<void> set_network(const Network& network);  // its records are replaced as a whole
  Result<void> remove_network(const std::string& id);
  Result<void> set_endpoint(const std::string& network,
                            const Endpoint& endpoint);  // `not_found`: set it first
  Result<void> remove_endpoint(const std::string& network, const std::string& container);

  // Replaces the view of a sandbox that is known, and its sockets if there are some here. The caller's are
  // free to be closed when this returns.
  Result<void> add_sandbox(const std::string& id, const View& view, const SandboxSockets* sockets = nullptr);
  Result<void> remove_sandbox(const std::string& id);

 private:
  explicit Client(Fd socket) : socket_(std::move(socket)) {}
  Result<void> tell(MessageKind kind, std::string_view body, std::span<const int> descriptors = {});
  Result<Frame> ask(MessageKind kind, std::string_view body, std::span<const int> descriptors = {});
  std::mutex mutex_;
  Fd socket_;
  FrameReader reader_;
};

}  // namespace berth::names
