// SPDX-License-Identifier: Apache-2.0
// The way of one request to a backend and of its answer back: a connection of HTTP/1.1 that is the request's
// for so long, or a stream of a connection of HTTP/2 that others share. An answer reads as HTTP/1.1 says it,
// by either.
//
//   connected() until it is -> request_head(), begin_body(), write_body()..., end_body() with flush() now and
//   then; beside them input(), use() and read_more(). Whoever has it is told of news by UpstreamUser.
#pragma once
#include <memory>
#include <string>
#include <string_view>

#include "proxy/http1/head.h"
#include "proxy/routes/endpoint.h"
#include "proxy/worker/connection.h"

namespace berth::proxy {

// Who has one in use.
class UpstreamUser {
 public:
  virtual ~UpstreamUser() = default;
  virtual void on_upstream_event() = 0;
  virtual void on_upstream_deadline() = 0;
};

class UpstreamLink;
using Upstream = std::unique_ptr<UpstreamLink>;

class UpstreamLink {
 public:
  UpstreamLink() = default;
  UpstreamLink(const UpstreamLink&) = delete;
  UpstreamLink& operator=(const UpstreamLink&) = delete;
  virtual ~UpstreamLink() = default;

  virtual Endpoint& endpoint() const noexcept = 0;
  // Whether it is connected now, and if not whether it ever will be.
  enum class Progress { connected, waiting, failed };
  virtual Progress connected() noexcept = 0;
  virtual bool reused() const noexcept = 0;  // it was there before this request

  virtual std::string& request_head() = 0;  // to append the head to
  virtual void begin_body(const RequestHead& head) = 0;
  // How much of it was taken: less than all when the backend is slow, and then news come when there is room.
  virtual std::size_t write_body(std::string_view data) = 0;
  virtual void end_body(const Fields& trailers) = 0;
  virtual void flush() = 0;
  virtual bool write_failed() const noexcept = 0;

  virtual std::string_view input() const noexcept = 0;
  virtual void use(std::size_t count) noexcept = 0;
  virtual Connection::Read read_more() = 0;

  // Behind a failure. Whether the backend is sure not to have looked at the request: then it is safe with
  // another one.
  virtual bool refused() const noexcept { return false; }
  // All of the body that was written, in front of what is in `body`. False: it is not there any more.
  virtual bool give_back(std::string& /*body*/) { return false; }
  // Whether it was this request alone that failed.
  virtual bool still_serves() const noexcept { return false; }

  virtual bool is_clean() const noexcept = 0;  // nothing of this request is left: another may follow
  // For WebSocket. Null where the connection is not the request's own.
  virtual Connection* tunnel() noexcept { return nullptr; }

  virtual Timed& timed() noexcept = 0;
  operator Timed&() noexcept { return timed(); }  // for deadlines: they come by on_upstream_deadline()

  // Takes itself away, to be used again or not: the pool's business.
  virtual void leave(Upstream self, bool reusable) = 0;
};

}  // namespace berth::proxy
