// SPDX-License-Identifier: Apache-2.0
// Where a request came from and its answer goes to: a connection of HTTP/1, or one stream of HTTP/2.
#pragma once
#include <cstdint>
#include <string_view>

#include "proxy/http1/body_reader.h"
#include "proxy/http1/head.h"
#include "proxy/network.h"

namespace berth::proxy {

class Connection;

struct AnswerHead {
  int status = 0;
  std::string_view reason;
  const Fields* fields = nullptr;  // those of the framing and of this hop among them: they are not passed on
  Framing framing;                 // of what will come; none: no body
  std::string_view extra_lines;    // "Name: value\r\n"...
  bool reads_no_more = false;      // of the request's body: what is left of it ends the connection
};

// Who asks.
struct Client {
  std::string_view address;  // "192.0.2.1"
  AddressBytes address_bytes{};
  std::uint16_t port = 0;  // of ours, that it came to
  bool tls = false;
  bool trusted = false;  // its forwarding fields are believed
};

class Downstream {
 public:
  virtual ~Downstream() = default;

  // The next piece of the request's body, of what is there: no data and not ended means that more must come,
  // and that wake() will be called then. A cut body is a refusal.
  virtual Parsed<BodyReader::Piece> body() = 0;
  virtual void body_took(std::size_t count) = 0;
  virtual const Fields& body_trailers() const = 0;

  virtual void informational(int status, std::string_view reason, const Fields& fields) = 0;  // 100, 103
  virtual void begin_answer(const AnswerHead& head) = 0;
  virtual std::size_t answer_body(std::string_view data) = 0;  // how much was taken; less: wake() comes
  virtual void answer_whole(std::string_view data) = 0;  // all is taken: for what this proxy says itself
  virtual void end_answer(const Fields& trailers) = 0;
  virtual void cut_answer() = 0;  // it has begun, and cannot be whole: the client must not take it for that
  virtual void flush_answer() = 0;
  virtual bool answer_is_stuck() const = 0;  // what was taken is not written, or the client is gone

  // For WebSocket, behind the 101. Null where there is no connection of the client's own.
  virtual Connection* tunnel() = 0;

  virtual void wake() = 0;  // goes on with what the exchange makes possible
};

}  // namespace berth::proxy
