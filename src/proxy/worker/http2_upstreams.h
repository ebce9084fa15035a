// SPDX-License-Identifier: Apache-2.0
// All connections of HTTP/2 to backends, of one worker. Requests share them: a new one is made where the
// others have as many streams as they may.
#pragma once
#include <openssl/types.h>

#include <memory>
#include <unordered_map>
#include <vector>

#include "proxy/worker/counters.h"
#include "proxy/worker/upstream_link.h"
#include "proxy/worker/upstream_socket.h"

namespace berth::proxy {

class Http2Upstream;
class Http2UpstreamStream;

class Http2Upstreams {
 public:
  struct Parts {
    Poller& poller;
    Timers& timers;
    BufferPool& buffers;
    Counters& counters;
    SSL_CTX* tls;
    std::int64_t idle;  // milliseconds that a connection without requests is kept
  };
  explicit Http2Upstreams(const Parts& parts);
  ~Http2Upstreams();

  // A stream, of a connection that is there or of a new one.
  std::expected<Upstream, NoWay> begin(const std::shared_ptr<Endpoint>& endpoint, UpstreamUser& user);

  // What has to be written and told, of all that asked for it since the last time. Nobody may be in the midst
  // of an exchange: it tells them.
  void run_waiting();
  bool has_waiting() const noexcept { return !waiting_.empty(); }

  void close_idle();  // says farewell, now and from now on to each that has nothing to do any more

 private:
  friend class Http2Upstream;
  friend class Http2UpstreamStream;
  Http2Upstream* find(const Endpoint& endpoint);
  std::expected<Http2Upstream*, NoWay> connect(const std::shared_ptr<Endpoint>& endpoint);
  void run_later(Http2Upstream& connection);
  void gone(Http2Upstream& connection);

  const Parts parts_;
  std::unordered_map<const Endpoint*, std::vector<std::unique_ptr<Http2Upstream>>> connections_;
  std::vector<Http2Upstream*> waiting_;
  bool draining_ = false;
};

}  // namespace berth::proxy
