// SPDX-License-Identifier: Apache-2.0
// One thread that accepts and serves clients, by itself: it shares nothing with its like that it would have
// to wait for.
#pragma once
#include <atomic>
#include <memory>
#include <thread>
#include <unordered_map>
#include <vector>

#include "proxy/worker/client_session.h"
#include "proxy/worker/core.h"
#include "proxy/worker/mirrored_request.h"
#include "proxy/worker/tls.h"
#include "proxy/worker/upstream.h"

namespace berth::proxy {

// A socket that listens, and what it is.
struct ListeningSocket {
  Fd socket;
  Listen listen;
};

// What all workers use, and none changes.
struct WorkerShared {
  const Settings& settings;
  PublishedRoutes& routes;
  const ErrorPages& pages;
  DeathListener& deaths;
  PasswordChecker& passwords;
  RouteSource* source = nullptr;  // null: none whose changes are on their way
  ServerTls* tls = nullptr;       // null: no listener has it
  SSL_CTX* upstream_tls = nullptr;
};

class Worker final : public ClientHost {
 public:
  static Result<std::unique_ptr<Worker>> create(const WorkerShared& shared,
                                                std::vector<ListeningSocket> listeners);
  ~Worker() override;  // stops at once

  void start();
  // From any thread:
  void drain() { command(kDrain); }  // accepts no more, and ends when the last request has
  void reopen_log() { command(kReopenLog); }
  void look_again() { command(kLookAgain); }  // for routes of those who had none
  void stop() { command(kStop); }
  bool ended() const noexcept { return ended_.load(); }
  void join();
  const Counters& counters() const noexcept { return counters_; }

  void client_closed(ClientSession& session) override;
  void client_speaks_http2(ClientSession& session) override;

 private:
  class Listener;
  class Bell;
  class Handshake;
  static constexpr unsigned kDrain = 1, kReopenLog = 2, kStop = 4, kLookAgain = 8;

  Worker(const WorkerShared& shared, Poller poller);
  void run();
  void round();
  int patience() const;
  void take_commands();
  void look_for_answers();
  void stop_listening_for_a_moment();
  void listen_again();
  bool accept_from(Listener& listener, int most);
  void accepted(Fd socket, const sockaddr_storage& peer, const Listen& listen);
  void keep(std::unique_ptr<ClientSession> session);
  void shake_hands(Fd socket, std::string address, const Client& client);
  void handshake_done(Handshake& handshake);
  void command(unsigned bits);

  const WorkerShared shared_;
  Poller poller_;
  Timers timers_;
  BufferPool buffers_;
  Counters counters_;
  PublishedRoutes::Reader routes_;
  AccessLog log_;
  UpstreamPool upstreams_;
  Mirrors mirrors_;
  Core core_;
  std::vector<std::unique_ptr<Listener>> listeners_;
  std::unique_ptr<Bell> bell_;
  std::unordered_map<ClientSession*, std::unique_ptr<ClientSession>> clients_;
  std::int64_t swept_at_ = 0, logged_at_ = 0, looked_at_ = 0;
  bool told_to_look_ = false;
  std::int64_t deaf_until_ = 0;  // there were no descriptors left to accept with; 0: it listens
  bool stopped_ = false;
  std::atomic<unsigned> commands_{0};
  std::atomic<bool> ended_{false};
  std::thread thread_;
};

}  // namespace berth::proxy
