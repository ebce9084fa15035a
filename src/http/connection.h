// SPDX-License-Identifier: Apache-2.0
// A server's side of one connection: reads heads, calls the handler, frames the answers. Internal to this
// room; Exchange is its public face.
#pragma once
#include <memory>
#include <optional>
#include <string>

#include "http/body_reader.h"
#include "http/head.h"
#include "http/server.h"
#include "http/stream.h"
#include "http/tls_stream.h"

namespace berth::http {

// What a connection needs from the server that runs it.
class ConnectionHost {
 public:
  virtual ~ConnectionHost() = default;
  virtual bool enter_idle() = 0;  // false: the server stops, don't wait for another request
  virtual void leave_idle() = 0;
  virtual bool stopping() = 0;
  // The descriptor is about to be given away or closed: the server may not touch it any more.
  virtual void forget_descriptor() = 0;
  // Relays in a thread of its own, which the server keeps track of.
  virtual Result<void> start_relay(std::unique_ptr<TlsStream> stream, Fd local) = 0;
};

class Connection {
 public:
  Connection(std::unique_ptr<Stream> stream, Peer peer, const Limits& limits, const Handler& handler,
             ConnectionHost& host);
  // For TLS; the same object as `stream` above.
  Connection(std::unique_ptr<TlsStream> stream, Peer peer, const Limits& limits, const Handler& handler,
             ConnectionHost& host);

  void serve();  // until either side has had enough

 private:
  friend class Exchange;
  enum class Answer { none, streaming, done, hijacked };

  // Steps of serve().
  Result<bool> read_head();  // false: the client left, or shall
  Result<void> accept_head(RequestHead head);
  void refuse(const Error& error);
  void run_handler();
  bool settle();  // true: the connection is fit for another request
  void linger();

  // Behind Exchange.
  Result<std::size_t> read_body(std::span<char> buffer);
  Result<void> allow_body();
  Result<void> respond(int status, Headers headers, std::string_view body);
  Result<void> begin(int status, Headers headers);
  Result<void> write(std::string_view data);
  Result<void> write_file(int file, std::uint64_t offset, std::uint64_t length);
  Result<void> finish();
  Result<HijackedConnection> hijack(int status, Headers headers);
  Result<void> send_head(int status, Headers& headers, std::string_view body);
  bool body_is_too_long_to_drain() const;
  Deadline body_deadline() const;

  std::unique_ptr<Stream> stream_;
  TlsStream* tls_ = nullptr;  // stream_, when it is one
  Input input_;
  const Limits& limits_;
  const Handler& handler_;
  ConnectionHost& host_;

  // Of the current request.
  Request request_;
  BodyReader body_;
  bool expects_continue_ = false;
  bool keep_alive_ = true;
  Answer answer_ = Answer::none;
  bool bodiless_answer_ = false;  // HEAD, 204, 304: writes are counted and dropped
  bool chunked_answer_ = false;
  std::optional<std::uint64_t> promised_bytes_;  // left to be written of an announced Content-Length
};

}  // namespace berth::http
