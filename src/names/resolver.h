// SPDX-License-Identifier: Apache-2.0
// The resolver of names: one process an engine, which answers containers' DNS questions while the engine
// comes and goes. docs/names.md says what it answers,
// docs/decisions/0014-names-are-resolved-by-a-process-of-their-own.md why it is made like this.
//
// Lifecycle: open() takes the lock and listens; the engine tells what there is; run() serves until it is told
// to stop, or until it has had neither a sandbox nor a control connection for a while. It writes nothing
// down: its end is the end of its sockets, and whoever brings it new ones tells it everything first. One
// thread.
#pragma once
#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "base/event_loop.h"
#include "names/control_server.h"
#include "names/directory.h"
#include "names/forwarder.h"
#include "names/host_servers.h"
#include "names/sandbox_server.h"

namespace berth::names {

struct ResolverSettings {
  std::string socket_path;  // of the control socket; beside it lies its lock
  ResolvConfPaths resolv_conf;
  ForwardLimits forwarding;
  ServingLimits serving;
  std::chrono::milliseconds unused{10'000};  // until it ends by itself
  int stop_descriptor = -1;                  // readable: stop. Borrowed.
};

class Resolver final : Answerer {
 public:
  // An error of the kind `conflict` when another one has the same socket.
  static Result<std::unique_ptr<Resolver>> open(ResolverSettings settings);
  Resolver(const Resolver&) = delete;
  Resolver& operator=(const Resolver&) = delete;
  ~Resolver();

  Result<void> run();

 private:
  Resolver(ResolverSettings settings, Fd lock, EventLoop loop);
  Result<void> start();

  Verdict answer(const std::string& sandbox, Bytes message, Transport transport,
                 std::span<unsigned char> out) override;
  bool forward(const std::string& sandbox, Bytes message, const Query& query, Transport transport,
               Deliver deliver) override;

  ControlServer::Reply handle(Frame frame);
  Result<void> obey(Frame& frame);
  Result<void> add_sandbox(Frame& frame);
  void remove_sandbox(const std::string& id);
  Listing list() const;
  void look_whether_used();

  const ResolverSettings settings_;
  Fd lock_;
  EventLoop loop_;
  Directory directory_;
  HostServers host_servers_;
  Forwarder forwarder_;
  std::shared_ptr<DatagramBatch> batch_;
  std::map<std::string, std::unique_ptr<SandboxServer>> sandboxes_;
  std::unique_ptr<ControlServer> control_;
  std::optional<EventLoop::Timer> unused_timer_;
  bool stopping_ = false;
};

}  // namespace berth::names
