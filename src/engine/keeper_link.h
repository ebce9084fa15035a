// SPDX-License-Identifier: Apache-2.0
// The engine's end of the connections to its keepers (keeper/protocol.h).
//
// A KeeperLink is one connection; any thread may ask over it and waits for its own answer. A KeeperWatch is
// the one thread that reads them all and tells what keepers say unasked.
#pragma once
#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <thread>

#include "base/error.h"
#include "base/fd.h"
#include "keeper/protocol.h"
#include "keeper/state.h"

namespace berth::engine {

class KeeperLink {
 public:
  // `child`: the keeper is this process's child and is reaped when the link closes; 0 otherwise.
  KeeperLink(std::string container_id, Fd socket, pid_t child)
      : container_id_(std::move(container_id)), socket_(std::move(socket)), child_(child) {}

  const std::string& container_id() const noexcept { return container_id_; }
  int descriptor() const noexcept { return socket_.get(); }

  // Sends a request and waits for its reply. A keeper that has gone is ErrorKind::unavailable.
  Result<keeper::Reply> ask(keeper::MessageKind kind, std::string_view body,
                            std::span<const int> descriptors = {},
                            std::chrono::milliseconds patience = std::chrono::seconds(60));
  // Hands a client's socket over, and waits for no reply: if the container has ended it closes.
  Result<void> hand_over(const Fd& client, const keeper::Attach& options);

 private:
  friend class KeeperWatch;
  Result<keeper::Reply> wait(std::uint64_t request, std::chrono::milliseconds patience);
  void deliver(std::uint64_t request, keeper::Reply reply);
  void close();  // every waiting asker is told

  const std::string container_id_;
  Fd socket_;
  const pid_t child_;
  keeper::MessageReader reader_;  // the watch's thread alone

  std::mutex sending_;
  std::mutex mutex_;
  std::condition_variable answered_;
  std::map<std::uint64_t, std::optional<keeper::Reply>> requests_;
  std::uint64_t last_request_ = 0;
  bool closed_ = false;
};

// Called on the watch's thread, in the order in which a keeper said it; they must not block for long.
struct KeeperCallbacks {
  std::function<void(const std::shared_ptr<KeeperLink>&, const keeper::State&)> on_state;
  std::function<void(const std::shared_ptr<KeeperLink>&, const keeper::ExecExited&)> on_exec_exited;
  std::function<void(const std::shared_ptr<KeeperLink>&)> on_gone;
};

class KeeperWatch {
 public:
  static Result<std::unique_ptr<KeeperWatch>> start(KeeperCallbacks callbacks);
  ~KeeperWatch();  // stops the thread; keepers and their containers go on
  KeeperWatch(const KeeperWatch&) = delete;
  KeeperWatch& operator=(const KeeperWatch&) = delete;

  Result<void> add(std::shared_ptr<KeeperLink> link);

 private:
  KeeperWatch(KeeperCallbacks callbacks, Fd epoll, Fd stop);
  void run();
  void on_readable(const std::shared_ptr<KeeperLink>& link);
  void remove(const std::shared_ptr<KeeperLink>& link);

  KeeperCallbacks callbacks_;
  Fd epoll_;
  Fd stop_;
  std::mutex mutex_;
  std::map<int, std::shared_ptr<KeeperLink>> links_;
  std::thread thread_;
};

// Connects to one that an earlier engine started.
Result<std::shared_ptr<KeeperLink>> connect_keeper(const std::string& container_id,
                                                   const std::string& run_directory);

}  // namespace berth::engine
