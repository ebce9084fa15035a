// SPDX-License-Identifier: Apache-2.0
// An HTTP/1.1 client over unix sockets, TCP and TLS. Nothing is initialised before it is needed: a program
// that only talks to a unix socket pays for nothing else.
//
//   Client client(TRY(Endpoint::parse("unix:///run/berth/berth.sock")));
//   Response response = TRY(client.request("GET", "/version"));
//   std::string text = TRY(response.read_whole(1 << 20));
#pragma once
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/error.h"
#include "base/fd.h"
#include "http/message.h"
#include "http/tls.h"

namespace berth::http {

// A proxy that requests go through: TLS by CONNECT, plain HTTP by absolute targets (RFC 9110, section 7.1).
struct Proxy {
  std::string host;  // without brackets
  std::uint16_t port = 0;
  std::string authorization;  // the value of Proxy-Authorization; may be empty
};

// Where a server is, as DOCKER_HOST names it.
struct Endpoint {
  // "unix:///run/x.sock", "tcp://host:port", "http://host:port", "https://host:port". tcp:// speaks TLS when
  // `tls` is given, https:// always.
  static Result<Endpoint> parse(std::string_view text, std::optional<TlsClientSettings> tls = {});

  std::string text;       // as given, for messages
  std::string unix_path;  // empty: TCP
  std::string host;       // without brackets
  std::uint16_t port = 0;
  std::string base_path;  // goes before every target; "" or "/prefix"
  std::optional<TlsClientSettings> tls;
  std::optional<Proxy> proxy;  // of TCP
};

// A connected socket, for protocols other than HTTP as well. Unix paths may be longer than 108 bytes.
Result<Fd> connect_unix(const std::string& path);
// A stop ends it at once: ErrorKind::cancelled.
Result<Fd> connect_tcp(const std::string& host, std::uint16_t port, const std::stop_token& stop = {});

// Fills the buffer with the next part of a request's body and returns how much; 0 ends it.
using BodySource = std::function<Result<std::size_t>(std::span<char>)>;
// A source that gives exactly `size` bytes: a different number is an error, and breaks the connection.
struct SizedBody {
  BodySource source;
  std::uint64_t size = 0;
};
// Nothing, bytes or a sized source (sent with Content-Length), or a source (sent chunked as it produces).
using RequestBody = std::variant<std::monostate, std::string_view, BodySource, SizedBody>;

class ClientConnection;

// An answer whose body is still to be read. It holds the connection; dropped half-read, it closes it.
class Response {
 public:
  Response() = default;
  Response(Response&&) noexcept;
  Response& operator=(Response&&) noexcept;
  ~Response();

  int status = 0;
  Headers headers;

  // 0 is the end; a cut stream is an error, and so is (timeout) a peer that is silent for longer than
  // `patience`; zero is for ever. A stop hangs up, and ends it at once: ErrorKind::cancelled.
  Result<std::size_t> read(std::span<char> buffer, std::chrono::milliseconds patience = {},
                           const std::stop_token& stop = {});
  Result<std::string> read_whole(std::size_t limit);
  // For poll(2) beside other things, and for shutdown(2) from another thread; -1 when there is no more to
  // read.
  int descriptor() const noexcept;
  bool buffered() const noexcept;  // read() has something without asking the socket: look before you poll

 private:
  friend class Client;
  void let_go_at_end() noexcept;
  std::shared_ptr<ClientConnection> connection_;  // null at the end of the body
};

// An upgraded connection. Under TLS `socket` is one end of a socket pair that a thread relays.
struct Upgraded {
  int status = 0;  // 101 or 200
  Headers headers;
  Fd socket;
  std::string leftover;  // comes before what the socket gives
};

// One connection at a time, kept alive from request to request and reopened when the server closed it. Used
// by one thread at a time; for requests in parallel use several.
class Client {
 public:
  explicit Client(Endpoint endpoint);
  Client(Client&&) noexcept;
  Client& operator=(Client&&) noexcept;
  ~Client();

  const Endpoint& endpoint() const noexcept { return endpoint_; }

  // `target` is the path and query, percent-encoded. Any status is a Response; errors are those of transport,
  // and name the endpoint. A request on a kept connection that turns out closed is sent again once, when that
  // is safe. A stop hangs up, from looking up the name to the answer's head: ErrorKind::cancelled, at once.
  Result<Response> request(std::string_view method, std::string_view target, Headers headers = {},
                           RequestBody body = {}, const std::stop_token& stop = {});

  // Sends the request with `Connection: Upgrade` and `Upgrade: <protocol>`. An answer other than 101 and 200
  // is returned as a Response.
  Result<std::variant<Upgraded, Response>> upgrade(std::string_view method, std::string_view target,
                                                   std::string_view protocol, Headers headers = {},
                                                   std::string_view body = {});

  // Passes these open descriptors along with the head of the next request, and closes them here then. Only
  // over unix sockets. Such a request is not sent again.
  void pass_with_next(std::vector<Fd> descriptors) noexcept { passed_ = std::move(descriptors); }

  // How long to wait for an answer's head; zero (the default) is for ever. Connecting has 30 s.
  void set_head_timeout(std::chrono::milliseconds timeout) noexcept { head_timeout_ = timeout; }

 private:
  Result<void> ensure_connected(const std::stop_token& stop);
  Endpoint endpoint_;
  std::chrono::milliseconds head_timeout_{0};
  std::vector<Fd> passed_;
  std::shared_ptr<TlsContext> tls_;
  std::shared_ptr<ClientConnection> connection_;
};

}  // namespace berth::http
