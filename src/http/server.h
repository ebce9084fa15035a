// SPDX-License-Identifier: Apache-2.0
// An HTTP/1.1 server: one thread a connection, plain blocking handlers, streams and hijacked connections.
//
//   Server server;
//   TRY(server.start(std::move(listeners), [](Exchange& exchange) {
//     (void)exchange.respond(200, {{"Content-Type", "text/plain"}}, "hello\n");
//   }));
//   ...
//   server.stop();
//
// Lifecycle of an exchange: the handler is called with a parsed head; it may read the body; then it answers
// in exactly one way: respond(), or begin() - write()... - finish(), or hijack(). A handler that returns
// without an answer makes the server send a 500. One that returns between begin() and finish() makes it cut
// the connection, so that the client sees a broken stream and not a short one.
#pragma once
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/fd.h"
#include "http/listener.h"
#include "http/message.h"

namespace berth::http {

struct Limits {
  std::size_t head_bytes = 64u << 10;     // request line and fields; beyond: 431
  std::size_t fields = 100;               // beyond: 431
  std::size_t connections = 4096;         // beyond: 503
  std::size_t drained_bytes = 64u << 10;  // of a body that the handler left; beyond: the connection is closed
  std::chrono::milliseconds head_timeout =
      std::chrono::seconds(30);  // first byte to end of head, TLS handshake
  std::chrono::milliseconds idle_timeout = std::chrono::minutes(5);  // between requests
  std::chrono::milliseconds body_timeout{0};   // for the next bytes of a body; 0: for ever
  std::chrono::milliseconds write_timeout{0};  // for a client to take more of an answer; 0: for ever
  std::chrono::milliseconds stop_grace = std::chrono::seconds(5);  // for running requests, in stop()
  std::size_t stack_bytes = 256u << 10;                            // of a connection's thread
};

// A connection taken over by its handler; from here on it carries raw bytes both ways. Half-close
// (shutdown(SHUT_WR)) goes through in both directions. `socket` is the client's own socket, or, under TLS,
// one end of a local socket pair whose other end a thread of the server relays until both sides are closed.
struct HijackedConnection {
  Fd socket;             // blocking, and fit to be passed to another process
  std::string leftover;  // what the client sent behind the head and was already read: comes before the socket
};

class Connection;

// One request and the answer to it. Used by one thread at a time.
class Exchange {
 public:
  explicit Exchange(Connection& connection) : connection_(connection) {}
  Exchange(const Exchange&) = delete;
  Exchange& operator=(const Exchange&) = delete;

  const Request& request() const noexcept;

  // The body as it comes, whatever its framing; 0 is the end. A client that waits for it is told to go on
  // (Expect: 100-continue) at the first call. A malformed or cut body is an error, never an end.
  Result<std::size_t> read_body(std::span<char> buffer);
  Result<std::string> read_body_whole(std::size_t limit);  // a longer one is ErrorKind::invalid

  // The open descriptors that the client has passed so far with this request (unix(7), SCM_RIGHTS), in order,
  // 32 at most: over a unix socket alone. They may be of anything, and the client can still use them. Those
  // that nobody takes are closed when the request is done.
  std::vector<Fd> take_descriptors() noexcept;

  // A complete answer, with its Content-Length. HEAD gets the head alone.
  Result<void> respond(int status, Headers headers, std::string_view body);

  // A streamed answer. The head is on its way when begin() returns. The body is chunked, unless `headers` has
  // a Content-Length: then exactly so many bytes must be written. Every write() is sent at once.
  Result<void> begin(int status, Headers headers);
  Result<void> write(std::string_view data);
  // The same for `length` bytes of a regular file from `offset` on. A file that turns out shorter is an
  // error.
  Result<void> write_file(int file, std::uint64_t offset, std::uint64_t length);
  Result<void> finish();

  // Sends the head (101 or 200; the caller sets Connection and Upgrade as its protocol wants them) and gives
  // the connection away. Only for a request whose body was read or that has none.
  Result<HijackedConnection> hijack(int status, Headers headers);

  // To poll(2) for POLLRDHUP while the handler waits for something: the client hung up, or the server stops.
  // Ask for no POLLIN: a client may pipeline. -1 after hijack().
  int connection_descriptor() const noexcept;
  bool hung_up() const noexcept;    // asks that descriptor now
  bool responded() const noexcept;  // a head was sent

 private:
  Connection& connection_;
};

// Called on the connection's thread. All signals are blocked there.
using Handler = std::function<void(Exchange&)>;

class Server {
 public:
  Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  ~Server();  // stops

  Result<void> start(std::vector<Listener> listeners, Handler handler, Limits limits = {});

  // Closes the listeners and the idle connections, gives running requests Limits::stop_grace to finish, hangs
  // up on the rest, and returns when every handler has returned: a handler that waits must watch its
  // connection_descriptor(). Hijacked plain connections are their takers' business. Idempotent.
  void stop();

  std::size_t connections() const noexcept;  // open now, without hijacked plain ones

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace berth::http
