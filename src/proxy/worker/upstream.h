// SPDX-License-Identifier: Apache-2.0
// Connections to backends, of one worker: in use by one exchange, or idle and kept for the next.
#pragma once
#include <openssl/types.h>

#include <memory>
#include <unordered_map>
#include <vector>

#include "proxy/routes/endpoint.h"
#include "proxy/worker/connection.h"
#include "proxy/worker/counters.h"

namespace berth::proxy {

class UpstreamPool;

// Who has a connection in use.
class UpstreamUser {
 public:
  virtual ~UpstreamUser() = default;
  virtual void on_upstream_event() = 0;
  virtual void on_upstream_deadline() = 0;
};

class UpstreamConnection final : public Connection {
 public:
  UpstreamConnection(UpstreamPool& pool, BufferPool& buffers, Fd socket, Ssl tls,
                     std::shared_ptr<Endpoint> endpoint)
      : Connection(buffers, std::move(socket), std::move(tls)), pool_(pool), endpoint_(std::move(endpoint)) {}

  void on_events(std::uint32_t events) override;
  void on_deadline() override;

  Endpoint& endpoint() const noexcept { return *endpoint_; }
  bool connecting() const noexcept { return connecting_; }
  // Whether it is connected now, and if not whether it ever will be.
  enum class Progress { connected, waiting, failed };
  Progress connected() noexcept;
  bool reused() const noexcept { return reused_; }

 private:
  friend class UpstreamPool;
  UpstreamPool& pool_;
  const std::shared_ptr<Endpoint> endpoint_;
  UpstreamUser* user_ = nullptr;  // null: idle
  bool connecting_ = true, reused_ = false;
  std::int64_t idle_since_ = 0;
};
using Upstream = std::unique_ptr<UpstreamConnection>;

class UpstreamPool {
 public:
  struct Limits {
    std::int64_t idle = 30'000;          // milliseconds that an idle one is kept
    std::int64_t idle_for_once = 1'000;  // and for a request that cannot be sent again
    std::size_t kept = 256;              // of each endpoint
  };
  UpstreamPool(Poller& poller, Timers& timers, BufferPool& buffers, Counters& counters, SSL_CTX* tls,
               Limits limits)
      : poller_(poller),
        timers_(timers),
        buffers_(buffers),
        counters_(counters),
        tls_(tls),
        limits_(limits) {}

  // An idle one. A backend may close what is idle at any moment, and a request that is on its way then is
  // lost: what cannot be sent again goes on one that was in use a moment ago, or on a new one.
  Upstream take_idle(const Endpoint& endpoint, UpstreamUser& user, bool may_be_lost);
  // On its way; null when there is no way.
  Upstream connect(const std::shared_ptr<Endpoint>& endpoint, UpstreamUser& user);

  void keep(Upstream connection);     // for the next
  void discard(Upstream connection);  // closed at once, gone behind this round

  void sweep();  // now and then: forgets endpoints that no route has any more
  void close_idle();

 private:
  friend class UpstreamConnection;
  void drop_idle(UpstreamConnection& connection);
  Ssl start_tls(int socket, const Endpoint& endpoint);

  Poller& poller_;
  Timers& timers_;
  BufferPool& buffers_;
  Counters& counters_;
  SSL_CTX* tls_;
  const Limits limits_;
  std::unordered_map<const Endpoint*, std::vector<Upstream>> idle_;  // each holds its endpoint
};

}  // namespace berth::proxy
