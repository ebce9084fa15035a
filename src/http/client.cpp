// SPDX-License-Identifier: Apache-2.0
#include "http/client.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <thread>

#include "base/buffer.h"
#include "base/send_descriptors.h"
#include "base/text.h"
#include "http/body_reader.h"
#include "http/head.h"
#include "http/stream.h"
#include "http/tls_stream.h"

namespace berth::http {
namespace {

constexpr std::size_t kHeadLimit = 256u << 10;
constexpr std::size_t kFieldLimit = 1000;
constexpr std::size_t kSourceBuffer = 64u << 10;
constexpr std::chrono::seconds kHandshakeTimeout(30);
constexpr std::chrono::seconds kLastWords(1);  // of a server that took no more of the body

bool is_resendable(const RequestBody& body) {
  return std::holds_alternative<std::monostate>(body) || std::holds_alternative<std::string_view>(body);
}

bool is_repeatable(std::string_view method) { return method == "GET" || method == "HEAD"; }

std::string host_header(const Endpoint& endpoint) {
  if (!endpoint.unix_path.empty()) return "localhost";
  const bool v6 = endpoint.host.find(':') != std::string::npos;
  const std::string host = v6 ? "[" + endpoint.host + "]" : endpoint.host;
  // A default port is left out: signed addresses of object stores count the header's bytes.
  if (endpoint.port == (endpoint.tls ? 443 : 80)) return host;
  return fmt::format("{}:{}", host, endpoint.port);
}

}  // namespace

class ClientConnection {
 public:
  explicit ClientConnection(std::unique_ptr<Stream> opened, TlsStream* opened_tls)
      : stream(std::move(opened)), tls(opened_tls), input(*stream) {}

  std::unique_ptr<Stream> stream;
  TlsStream* tls;  // stream, when it is one
  Input input;
  BodyReader body;           // of the answer being read
  bool reusable = true;      // as far as is known
  bool used_before = false;  // an answer has come through it

  // The answer before was read to its end, and the server has neither closed nor said anything unasked.
  bool fit_for_another() const noexcept {
    pollfd polled{stream->descriptor(), POLLIN | POLLRDHUP, 0};
    return reusable && body.at_end() && input.empty() && poll(&polled, 1, 0) == 0;
  }
};

Response::Response(Response&&) noexcept = default;

Response& Response::operator=(Response&& other) noexcept {
  std::swap(status, other.status);
  std::swap(headers, other.headers);
  std::swap(connection_, other.connection_);
  return *this;
}

Response::~Response() {
  if (!connection_) return;
  connection_->reusable = false;
  ::shutdown(connection_->stream->descriptor(), SHUT_RDWR);
}

// From its end on, the connection may carry another request's answer, which is none of ours.
void Response::let_go_at_end() noexcept {
  if (connection_->body.at_end()) connection_.reset();
}

Result<std::size_t> Response::read(std::span<char> buffer, std::chrono::milliseconds patience,
                                   const std::stop_token& stop) {
  if (!connection_) return 0;
  const Deadline deadline = patience.count() > 0 ? deadline_in(patience) : Deadline();
  Result<std::size_t> got = [&] {
    const HangUp hang_up(stop, connection_->stream->descriptor());
    return connection_->body.read(connection_->input, buffer, deadline);
  }();
  // What a hang-up looks like to the reader may be an end.
  if (stop.stop_requested()) return fail(ErrorKind::cancelled, "cancelled");
  if (got) let_go_at_end();
  return got;
}

Result<std::string> Response::read_whole(std::size_t limit) {
  if (!connection_) return std::string();
  std::string body = TRY(connection_->body.read_whole(connection_->input, limit));
  let_go_at_end();
  return body;
}

int Response::descriptor() const noexcept { return connection_ ? connection_->stream->descriptor() : -1; }

bool Response::buffered() const noexcept {
  return !connection_ || !connection_->input.empty() || connection_->stream->buffered();
}

Client::Client(Endpoint endpoint) : endpoint_(std::move(endpoint)) {}
Client::Client(Client&&) noexcept = default;
Client& Client::operator=(Client&&) noexcept = default;
Client::~Client() = default;

namespace {

// Through the proxy to the server behind it (RFC 9110, section 9.3.6).
Result<Fd> open_tunnel(const Endpoint& endpoint, const std::stop_token& stop) {
  const Proxy& proxy = *endpoint.proxy;
  Fd socket = TRY_AS("the proxy", connect_tcp(proxy.host, proxy.port, stop));
  std::unique_ptr<Stream> stream = make_plain_stream(std::move(socket));
  const HangUp hang_up(stop, stream->descriptor());
  const bool v6 = endpoint.host.find(':') != std::string::npos;
  const std::string server =
      fmt::format("{}{}{}:{}", v6 ? "[" : "", endpoint.host, v6 ? "]" : "", endpoint.port);
  Headers headers{{"Host", server}};
  if (!proxy.authorization.empty()) headers.add("Proxy-Authorization", proxy.authorization);
  const std::string request = TRY(format_head("CONNECT " + server + " HTTP/1.1", headers));
  TRY(stream->write(request));
  Input input(*stream);
  std::size_t searched = 0, size;
  while ((size = find_head_end(input.view(), searched)) == std::string_view::npos) {
    searched = input.view().size();
    if (searched > kHeadLimit || TRY(input.fill(deadline_in(kHandshakeTimeout))) == 0)
      return fail(ErrorKind::unavailable, "the proxy {}:{} gave no answer", proxy.host, proxy.port);
  }
  ResponseHead head = TRY(parse_response_head(input.view().substr(0, size), kFieldLimit));
  if (head.status / 100 != 2)
    return fail(ErrorKind::unavailable, "the proxy {}:{} refuses to connect to {}: {}", proxy.host,
                proxy.port, server, head.status);
  if (input.view().size() > size)
    return fail(ErrorKind::invalid, "the proxy {}:{} speaks before {} is asked", proxy.host, proxy.port,
                server);
  return stream->take_descriptor();
}

Result<Fd> connect_to(const Endpoint& endpoint, const std::stop_token& stop) {
  if (!endpoint.proxy) return connect_tcp(endpoint.host, endpoint.port, stop);
  if (endpoint.tls) return open_tunnel(endpoint, stop);
  return connect_tcp(endpoint.proxy->host, endpoint.proxy->port, stop);
}

}  // namespace

Result<void> Client::ensure_connected(const std::stop_token& stop) {
  if (connection_ && connection_->fit_for_another()) return {};
  connection_.reset();
  if (!endpoint_.unix_path.empty()) {
    Fd socket = TRY(connect_unix(endpoint_.unix_path));
    connection_ = std::make_shared<ClientConnection>(make_plain_stream(std::move(socket)), nullptr);
    return {};
  }
  Fd socket = TRY(connect_to(endpoint_, stop));
  if (head_timeout_.count() > 0) {
    // A server that takes no more of a body is as silent as one that does not answer.
    const timeval patience{head_timeout_.count() / 1000, head_timeout_.count() % 1000 * 1000};
    setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  }
  if (!endpoint_.tls) {
    connection_ = std::make_shared<ClientConnection>(make_plain_stream(std::move(socket)), nullptr);
    return {};
  }
  if (!tls_) tls_ = TRY(make_client_tls(*endpoint_.tls));
  std::unique_ptr<TlsStream> stream = TRY(make_client_stream(std::move(socket), *tls_, endpoint_.host));
  {
    const HangUp hang_up(stop, stream->descriptor());
    TRY_AS("connect to " + endpoint_.text, stream->shake_hands(deadline_in(kHandshakeTimeout)));
  }
  TlsStream* tls = stream.get();
  connection_ = std::make_shared<ClientConnection>(std::move(stream), tls);
  return {};
}

namespace {

struct BodySender {
  Stream& stream;
  Result<void> operator()(std::monostate) const { return {}; }
  Result<void> operator()(std::string_view) const { return {}; }  // went with the head
  // Errors of the source come back marked, for they are not the connection's.
  Result<void> operator()(const BodySource& source) const {
    Buffer buffer(kSourceBuffer);
    for (;;) {
      Result<std::size_t> got = source(buffer);
      if (!got) return source_failure = true, std::unexpected(std::move(got).error());
      if (*got == 0) return stream.write("0\r\n\r\n");
      TRY(stream.write(fmt::format("{:x}\r\n", *got), std::string_view(buffer.data(), *got), "\r\n"));
    }
  }
  Result<void> operator()(const SizedBody& body) const {
    Buffer buffer(kSourceBuffer);
    for (std::uint64_t left = body.size; left > 0;) {
      const auto wanted = static_cast<std::size_t>(std::min<std::uint64_t>(buffer.size(), left));
      Result<std::size_t> got = body.source({buffer.data(), wanted});
      if (got && *got == 0) got = fail(ErrorKind::corrupt, "the body ends {} bytes too early", left);
      if (!got) return source_failure = true, std::unexpected(std::move(got).error());
      TRY(stream.write(std::string_view(buffer.data(), *got)));
      left -= *got;
    }
    return {};
  }
  bool& source_failure;
};

Result<std::string> format_request(const Endpoint& endpoint, std::string_view method, std::string_view target,
                                   Headers& headers, const RequestBody& body) {
  if (target.find(' ') != std::string_view::npos || method.find(' ') != std::string_view::npos)
    return fail(ErrorKind::invalid, "a blank in the request '{} {}'", method, target);
  if (!headers.has("Host")) headers.add("Host", host_header(endpoint));
  if (auto* text = std::get_if<std::string_view>(&body))
    headers.set("Content-Length", std::to_string(text->size()));
  else if (std::holds_alternative<BodySource>(body))
    headers.set("Transfer-Encoding", "chunked");
  else if (auto* sized = std::get_if<SizedBody>(&body))
    headers.set("Content-Length", std::to_string(sized->size));
  else if (method == "POST" || method == "PUT")
    headers.set("Content-Length", "0");
  std::string origin;
  if (endpoint.proxy && !endpoint.tls) {
    origin = "http://" + host_header(endpoint);
    if (!endpoint.proxy->authorization.empty())
      headers.set("Proxy-Authorization", endpoint.proxy->authorization);
  }
  return format_head(fmt::format("{} {}{}{} HTTP/1.1", method, origin, endpoint.base_path, target), headers);
}

// The next head that is not an interim one. `silent`: the server closed without a byte.
Result<ResponseHead> read_head(ClientConnection& connection, const Deadline& deadline, bool& silent) {
  for (;;) {
    std::size_t searched = 0, size;
    while ((size = find_head_end(connection.input.view(), searched)) == std::string_view::npos) {
      searched = connection.input.view().size();
      if (searched > kHeadLimit)
        return fail(ErrorKind::invalid, "the answer's head is longer than {} bytes", kHeadLimit);
      Result<std::size_t> got = connection.input.fill(deadline);
      silent = searched == 0 && (!got || *got == 0) && (got || got.error().kind != ErrorKind::timeout);
      if (!got) return std::unexpected(std::move(got).error());
      if (*got == 0)
        return fail(ErrorKind::unavailable, "the server closed the connection without an answer");
    }
    ResponseHead head = TRY(parse_response_head(connection.input.view().substr(0, size), kFieldLimit));
    connection.input.consume(size);
    if (head.status >= 200 || head.status == 101) return head;
  }
}

Result<void> begin_body(ClientConnection& connection, const ResponseHead& head, std::string_view method) {
  const bool bodiless = method == "HEAD" || head.status < 200 || head.status == 204 || head.status == 304;
  Framing framing;
  if (!bodiless) framing = TRY(framing_of(head.headers, head.minor_version, Framing::Kind::until_close));
  connection.body = BodyReader(framing);
  connection.used_before = true;
  connection.reusable = framing.kind != Framing::Kind::until_close && head.minor_version >= 1 &&
                        !head.headers.has_token("Connection", "close");
  return {};
}

// The descriptors belong to the head's first byte.
Result<void> pass_first_byte(Stream& stream, std::string_view& head, const std::vector<Fd>& passed) {
  std::vector<int> numbers;
  for (const Fd& descriptor : passed) numbers.push_back(descriptor.get());
  TRY(send_with_descriptors(stream.descriptor(), head.substr(0, 1), numbers));
  head.remove_prefix(1);
  return {};
}

// One attempt. `silent` says that the server closed without a byte.
Result<ResponseHead> exchange_once(ClientConnection& connection, std::string_view method,
                                   std::string_view head, const RequestBody& body,
                                   const std::vector<Fd>& passed, std::chrono::milliseconds head_timeout,
                                   bool& silent) {
  const auto* text = std::get_if<std::string_view>(&body);
  if (!passed.empty()) TRY(pass_first_byte(*connection.stream, head, passed));
  Result<void> sent = connection.stream->write(head, text ? *text : std::string_view());
  bool source_failure = false;
  if (sent) sent = std::visit(BodySender{*connection.stream, source_failure}, body);
  if (source_failure) {
    connection.reusable = false;
    return std::unexpected(std::move(sent).error());
  }
  // A server may answer and close before it took the whole body: its answer is worth more than our EPIPE.
  const bool stalled = !sent && sent.error().kind == ErrorKind::timeout;
  const Deadline deadline = stalled                    ? deadline_in(kLastWords)
                            : head_timeout.count() > 0 ? deadline_in(head_timeout)
                                                       : Deadline();
  Result<ResponseHead> answer = read_head(connection, deadline, silent);
  if (!answer) {
    if (!sent) return std::unexpected(std::move(sent).error());
    return answer;
  }
  TRY(begin_body(connection, *answer, method));
  if (!sent) connection.reusable = false;
  return answer;
}

}  // namespace

Result<Response> Client::request(std::string_view method, std::string_view target, Headers headers,
                                 RequestBody body, const std::stop_token& stop) {
  const std::string head = TRY(format_request(endpoint_, method, target, headers, body));
  const std::vector<Fd> passed = std::exchange(passed_, {});
  if (!passed.empty() && endpoint_.unix_path.empty())
    return fail(ErrorKind::unsupported, "descriptors are passed over unix sockets alone");
  for (;;) {
    Result<void> connected = ensure_connected(stop);
    if (stop.stop_requested()) return fail(ErrorKind::cancelled, "cancelled");
    if (!connected) return std::unexpected(std::move(connected).error());
    bool silent = false;
    const bool kept = connection_->used_before;
    Result<ResponseHead> answer = [&] {
      // A server that neither reads nor answers holds this thread in a system call, which that ends.
      const HangUp hang_up(stop, connection_->stream->descriptor());
      return exchange_once(*connection_, method, head, body, passed, head_timeout_, silent);
    }();
    if (!answer) {
      connection_.reset();
      if (stop.stop_requested()) return fail(ErrorKind::cancelled, "cancelled");
      if (kept && silent && passed.empty() && is_repeatable(method) && is_resendable(body)) continue;
      return std::unexpected(std::move(answer).error().within(endpoint_.text));
    }
    Response response;
    response.status = answer->status;
    response.headers = std::move(answer->headers);
    if (!connection_->body.at_end()) response.connection_ = connection_;
    return response;
  }
}

namespace {

// The relay of an upgraded TLS connection lives as long as the connection, in a thread that nothing waits
// for: it ends when both sides have closed.
Result<Fd> relay_in_background(std::unique_ptr<TlsStream> stream) {
  std::pair<Fd, Fd> pair = TRY(make_socket_pair(SOCK_STREAM));
  std::thread([stream = std::move(stream), local = std::move(pair.first)]() mutable {
    stream->relay(std::move(local));
  }).detach();
  return std::move(pair.second);
}

}  // namespace

Result<std::variant<Upgraded, Response>> Client::upgrade(std::string_view method, std::string_view target,
                                                         std::string_view protocol, Headers headers,
                                                         std::string_view body) {
  headers.set("Connection", "Upgrade");
  headers.set("Upgrade", protocol);
  Response response = TRY(request(method, target, std::move(headers), RequestBody(body)));
  const bool taken =
      response.status == 101 || (response.status == 200 && !response.headers.has("Content-Length") &&
                                 !response.headers.has("Transfer-Encoding"));
  if (!taken) return response;

  std::shared_ptr<ClientConnection> connection = std::move(connection_);
  response.connection_.reset();  // without hanging up
  Upgraded upgraded{response.status, std::move(response.headers), Fd(), connection->input.take()};
  if (!connection->tls) {
    upgraded.socket = connection->stream->take_descriptor();
    return upgraded;
  }
  (void)connection->stream.release();  // the same object
  upgraded.socket = TRY(relay_in_background(std::unique_ptr<TlsStream>(connection->tls)));
  return upgraded;
}

}  // namespace berth::http
