// SPDX-License-Identifier: Apache-2.0
// Connections to backends, of one worker: those of HTTP/1.1, in use by one exchange or idle and kept for the
// next, and those of HTTP/2, which exchanges share (http2_upstreams.h).
#pragma once
#include <openssl/types.h>

#include <memory>
#include <unordered_map>
#include <vector>

#include "proxy/http1/body_writer.h"
#include "proxy/routes/endpoint.h"
#include "proxy/worker/connection.h"
#include "proxy/worker/counters.h"
#include "proxy/worker/http2_upstreams.h"
#include "proxy/worker/upstream_link.h"
#include "proxy/worker/upstream_socket.h"

namespace berth::proxy {

class UpstreamPool;

class UpstreamConnection final : public Connection, public UpstreamLink {
 public:
  UpstreamConnection(UpstreamPool& pool, BufferPool& buffers, Fd socket, Ssl tls,
                     std::shared_ptr<Endpoint> endpoint, std::uint32_t moves)
      : Connection(buffers, std::move(socket), std::move(tls)),
        pool_(pool),
        endpoint_(std::move(endpoint)),
        moves_(moves) {}

  void on_events(std::uint32_t events) override;
  void on_deadline() override;

  Endpoint& endpoint() const noexcept override { return *endpoint_; }
  Progress connected() noexcept override;
  bool reused() const noexcept override { return reused_; }
  std::string& request_head() override { return queued(); }
  void begin_body(const RequestHead& head) override { writer_.begin(head.framing.kind); }
  std::size_t write_body(std::string_view data) override { return writer_.write(*this, data); }
  void end_body(const Fields& trailers) override { writer_.end(*this, trailers); }
  void flush() override { Connection::flush(); }
  bool write_failed() const noexcept override { return Connection::write_failed(); }
  std::string_view input() const noexcept override { return Connection::input(); }
  void use(std::size_t count) noexcept override { Connection::use(count); }
  Connection::Read read_more() override { return Connection::read_more(); }
  // What lies behind an answer would be the next request's: such a connection is not used again.
  bool is_clean() const noexcept override {
    return Connection::input().empty() && !end_is_there() && !has_queued() && !Connection::write_failed();
  }
  Connection* tunnel() noexcept override { return this; }
  Timed& timed() noexcept override { return *this; }
  void leave(Upstream self, bool reusable) override;

 private:
  friend class UpstreamPool;
  UpstreamPool& pool_;
  const std::shared_ptr<Endpoint> endpoint_;
  const std::uint32_t moves_;     // of the endpoint, when it was connected to
  UpstreamUser* user_ = nullptr;  // null: idle
  BodyWriter writer_;
  bool connecting_ = true, reused_ = false;
  std::int64_t idle_since_ = 0;
};

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
        limits_(limits),
        http2_({poller, timers, buffers, counters, tls, limits.idle}) {}

  // An idle one of HTTP/1.1. A backend may close what is idle at any moment, and a request that is on its way
  // then is lost: what cannot be sent again goes on one that was in use a moment ago, or on a new one.
  Upstream take_idle(const Endpoint& endpoint, UpstreamUser& user, bool may_be_lost);
  // On its way, or a stream of one that is there. Where there are no descriptors an idle one gives its own.
  std::expected<Upstream, NoWay> connect(const std::shared_ptr<Endpoint>& endpoint, UpstreamUser& user);

  void keep(Upstream link) { link->leave(std::move(link), true); }  // for the next
  // Closed at once, gone behind this round.
  void discard(Upstream link) { link->leave(std::move(link), false); }

  // What those of HTTP/2 have to write and to tell: once a round.
  void run_waiting() { http2_.run_waiting(); }
  bool has_waiting() const noexcept { return http2_.has_waiting(); }

  void sweep();  // now and then: forgets endpoints that no route has any more
  void close_idle();

 private:
  friend class UpstreamConnection;
  using Connected = std::unique_ptr<UpstreamConnection>;
  void keep_idle(Connected connection);
  void bury(Connected connection);
  std::expected<Upstream, NoWay> begin(const std::shared_ptr<Endpoint>& endpoint, UpstreamUser& user);
  bool drop_one_idle();
  void drop_idle(UpstreamConnection& connection);

  Poller& poller_;
  Timers& timers_;
  BufferPool& buffers_;
  Counters& counters_;
  SSL_CTX* tls_;
  const Limits limits_;
  std::unordered_map<const Endpoint*, std::vector<Connected>> idle_;  // each holds its endpoint
  Http2Upstreams http2_;
};

}  // namespace berth::proxy
