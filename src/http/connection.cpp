// SPDX-License-Identifier: Apache-2.0
#include "http/connection.h"

#include <poll.h>
#include <sys/socket.h>

#include <ctime>

#include "base/log.h"
#include "base/text.h"

namespace berth::http {
namespace {

constexpr std::chrono::milliseconds kDrainTime(2000);
constexpr std::chrono::milliseconds kLingerTime(500);
constexpr std::size_t kLingerBytes = 1u << 20;

bool starts_like_a_request(std::string_view bytes) {
  return bytes.empty() || (bytes.front() >= 'A' && bytes.front() <= 'Z');
}

bool status_has_no_body(int status) { return status < 200 || status == 204 || status == 304; }

std::string http_date() {
  std::time_t seconds = std::time(nullptr);
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  char text[40];
  return std::string(text, std::strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &parts));
}

int status_for(const Error& error) {
  if (error.kind == ErrorKind::exhausted) return 431;
  if (error.kind == ErrorKind::unsupported) return 501;
  if (error.kind == ErrorKind::timeout) return 408;
  return 400;
}

// The path and query of a request target; the scheme and authority of an absolute one say nothing to a server
// that has only one host (RFC 9112, section 3.2.2).
Result<std::string_view> origin_form(std::string_view method, std::string_view target) {
  if (target.starts_with('/') || (target == "*" && method == "OPTIONS")) return target;
  for (std::string_view scheme : {"http://", "https://"}) {
    if (!target.starts_with(scheme)) continue;
    const std::size_t path = target.find_first_of("/?", scheme.size());
    if (path == std::string_view::npos) return "/";
    if (target[path] == '/') return target.substr(path);
  }
  return fail(ErrorKind::invalid, "the request's target is not a path");
}

}  // namespace

Connection::Connection(std::unique_ptr<Stream> stream, Peer peer, const Limits& limits,
                       const Handler& handler, ConnectionHost& host)
    : stream_(std::move(stream)), input_(*stream_), limits_(limits), handler_(handler), host_(host) {
  request_.peer = std::move(peer);
}

Connection::Connection(std::unique_ptr<TlsStream> stream, Peer peer, const Limits& limits,
                       const Handler& handler, ConnectionHost& host)
    : Connection(std::unique_ptr<Stream>(stream.get()), std::move(peer), limits, handler, host) {
  tls_ = stream.release();
}

void Connection::serve() {
  for (;;) {
    Result<bool> came = read_head();
    if (came && !*came) return;
    if (!came) {
      refuse(came.error());
      linger();
      return;
    }
    run_handler();
    if (answer_ == Answer::hijacked) return;
    (void)stream_->take_passed();
    if (!settle()) {
      linger();
      return;
    }
  }
}

Result<bool> Connection::read_head() {
  if (!host_.enter_idle()) return false;
  Deadline deadline = deadline_in(limits_.idle_timeout);
  bool begun = false;
  std::size_t searched = 0;
  for (;;) {
    // Blank lines before a request are forgiven (RFC 9112, section 2.2).
    while (input_.view().starts_with("\r\n")) {
      input_.consume(2);
      searched = 0;
    }
    std::string_view bytes = input_.view();
    if (!begun && !bytes.empty()) {
      begun = true;
      deadline = deadline_in(limits_.head_timeout);
    }
    if (bytes != "\r" && !starts_like_a_request(bytes)) {
      host_.leave_idle();
      return fail(ErrorKind::invalid, "this is not HTTP");
    }
    std::size_t size = find_head_end(bytes, searched);
    if (std::min(size, bytes.size()) > limits_.head_bytes) {
      host_.leave_idle();
      return fail(ErrorKind::exhausted, "the request's head is longer than {} bytes", limits_.head_bytes);
    }
    if (size != std::string_view::npos) {
      host_.leave_idle();
      RequestHead head = TRY(parse_request_head(bytes.substr(0, size), limits_.fields));
      input_.consume(size);
      TRY(accept_head(std::move(head)));
      return true;
    }
    searched = bytes.size();
    Result<std::size_t> got = input_.fill(deadline);
    if (!got && begun && got.error().kind == ErrorKind::timeout) {
      host_.leave_idle();
      return fail(ErrorKind::timeout, "the request's head did not come within the time allowed");
    }
    if (!got || *got == 0) return false;
  }
}

Result<void> Connection::accept_head(RequestHead head) {
  answer_ = Answer::none;
  keep_alive_ = false;  // until the head has proved sound
  expects_continue_ = false;
  body_ = BodyReader();

  Framing framing = TRY(framing_of(head.headers, head.minor_version, Framing::Kind::none));
  if (head.minor_version >= 1 && head.headers.count("Host") != 1)
    return fail(ErrorKind::invalid, "the request has no Host, or more than one");
  std::string_view target = TRY(origin_form(head.method, head.target));
  auto [path, query] = split_once(target, '?');
  request_.query = TRY(Query::parse(query));
  request_.path = path;
  request_.query_text = query;
  request_.method = std::move(head.method);
  request_.minor_version = head.minor_version;
  request_.headers = std::move(head.headers);

  body_ = BodyReader(framing);
  keep_alive_ = request_.minor_version >= 1 && !request_.headers.has_token("Connection", "close");
  if (auto expected = request_.headers.get("Expect")) {
    if (!equal_ignoring_case(*expected, "100-continue"))
      return fail(ErrorKind::invalid, "the expectation '{}' is not one that can be met", *expected);
    expects_continue_ = request_.minor_version >= 1 && !body_.at_end();
  }
  return {};
}

// What could not be understood is answered plainly, and the connection ends: nobody knows where the next
// request would start.
void Connection::refuse(const Error& error) {
  answer_ = Answer::none;
  keep_alive_ = false;
  request_.method = "GET";
  (void)respond(status_for(error), {{"Content-Type", "text/plain; charset=utf-8"}}, error.message + "\n");
}

void Connection::run_handler() {
  Exchange exchange(*this);
  try {
    handler_(exchange);
    if (answer_ != Answer::none) return;
    log_error("http", "no answer to {} {}", request_.method, request_.path);
  } catch (const std::exception& exception) {
    log_error("http", "exception in {} {}: {}", request_.method, request_.path, exception.what());
  } catch (...) {
    log_error("http", "unknown exception in {} {}", request_.method, request_.path);
  }
  if (answer_ == Answer::none)
    (void)respond(500, {{"Content-Type", "application/json"}}, "{\"message\":\"internal error\"}\n");
}

bool Connection::settle() {
  if (answer_ != Answer::done || !keep_alive_) return false;
  if (body_.at_end()) return true;
  if (expects_continue_ || body_.broken() || body_is_too_long_to_drain()) return false;
  const Deadline deadline = deadline_in(kDrainTime);
  char buffer[8192];
  for (std::size_t drained = 0; drained <= limits_.drained_bytes;) {
    Result<std::size_t> got = body_.read(input_, buffer, deadline);
    if (!got) return false;
    if (*got == 0) return true;
    drained += *got;
  }
  return false;
}

// Closing a socket with unread input resets it, and the reset may overtake our answer: end the sending side,
// then read a little of what the client still had to say.
void Connection::linger() {
  if (answer_ == Answer::streaming) {
    // A stream broken off must look broken, also where its end is the end of the connection (HTTP/1.0).
    const ::linger reset{1, 0};
    if (!chunked_answer_ && !promised_bytes_)
      setsockopt(stream_->descriptor(), SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    return;
  }
  stream_->shutdown_write();
  const Deadline deadline = deadline_in(kLingerTime);
  char buffer[8192];
  for (std::size_t drained = 0; drained < kLingerBytes;) {
    Result<std::size_t> got = input_.read(buffer, deadline);
    if (!got || *got == 0) return;
    drained += *got;
  }
}

bool Connection::body_is_too_long_to_drain() const { return body_.known_left() > limits_.drained_bytes; }

Result<void> Connection::allow_body() {
  if (!std::exchange(expects_continue_, false) || answer_ != Answer::none) return {};
  return stream_->write("HTTP/1.1 100 Continue\r\n\r\n");
}

Result<std::size_t> Connection::read_body(std::span<char> buffer) {
  TRY(allow_body());
  return body_.read(input_, buffer, body_deadline());
}

Deadline Connection::body_deadline() const {
  return limits_.body_timeout.count() > 0 ? deadline_in(limits_.body_timeout) : Deadline();
}

Result<void> Connection::send_head(int status, Headers& headers, std::string_view body) {
  if (answer_ != Answer::none) return fail(ErrorKind::conflict, "the request has been answered already");
  if (expects_continue_ || body_.broken() || body_is_too_long_to_drain() || host_.stopping() ||
      headers.has_token("Connection", "close"))
    keep_alive_ = false;
  if (!keep_alive_ && status != 101) headers.set("Connection", "close");
  if (!headers.has("Date")) headers.add("Date", http_date());
  std::string head = TRY(format_head(fmt::format("HTTP/1.1 {} {}", status, reason_phrase(status)), headers));
  answer_ = Answer::streaming;
  return stream_->write(head, body);
}

Result<void> Connection::respond(int status, Headers headers, std::string_view body) {
  headers.remove("Transfer-Encoding");
  headers.remove("Content-Length");
  if (!status_has_no_body(status)) headers.add("Content-Length", std::to_string(body.size()));
  if (status_has_no_body(status) || request_.method == "HEAD") body = {};
  promised_bytes_ = 0;
  chunked_answer_ = false;
  TRY(send_head(status, headers, body));
  answer_ = Answer::done;
  return {};
}

Result<void> Connection::begin(int status, Headers headers) {
  headers.remove("Transfer-Encoding");
  bodiless_answer_ = status_has_no_body(status) || request_.method == "HEAD";
  chunked_answer_ = false;
  promised_bytes_.reset();
  if (auto length = headers.get("Content-Length")) {
    promised_bytes_ = parse_integer<std::uint64_t>(*length);
    if (!promised_bytes_) return fail(ErrorKind::invalid, "the answer's Content-Length is not a number");
  } else if (!status_has_no_body(status) && request_.minor_version >= 1) {
    chunked_answer_ = true;
    headers.add("Transfer-Encoding", "chunked");
  } else if (!status_has_no_body(status)) {
    keep_alive_ = false;  // HTTP/1.0: the end of the connection ends the body
  }
  return send_head(status, headers, {});
}

Result<void> Connection::write(std::string_view data) {
  if (answer_ != Answer::streaming) return fail(ErrorKind::conflict, "no answer is being streamed");
  if (data.empty() || bodiless_answer_) return {};
  if (promised_bytes_) {
    if (data.size() > *promised_bytes_)
      return fail(ErrorKind::invalid, "more is written than the answer's Content-Length says");
    *promised_bytes_ -= data.size();
  }
  if (!chunked_answer_) return stream_->write(data);
  return stream_->write(fmt::format("{:x}\r\n", data.size()), data, "\r\n");
}

Result<void> Connection::write_file(int file, std::uint64_t offset, std::uint64_t length) {
  if (answer_ != Answer::streaming) return fail(ErrorKind::conflict, "no answer is being streamed");
  if (!promised_bytes_) return fail(ErrorKind::invalid, "a file is sent with a Content-Length");
  if (length > *promised_bytes_)
    return fail(ErrorKind::invalid, "more is written than the answer's Content-Length says");
  if (bodiless_answer_) return {};
  *promised_bytes_ -= length;
  return stream_->write_file(file, offset, length);
}

Result<void> Connection::finish() {
  if (answer_ == Answer::done) return {};
  if (answer_ != Answer::streaming) return fail(ErrorKind::conflict, "no answer is being streamed");
  if (promised_bytes_.value_or(0) > 0 && !bodiless_answer_)
    return fail(ErrorKind::invalid, "the answer is {} bytes shorter than its Content-Length",
                *promised_bytes_);
  if (chunked_answer_ && !bodiless_answer_) TRY(stream_->write("0\r\n\r\n"));
  answer_ = Answer::done;
  return {};
}

Result<HijackedConnection> Connection::hijack(int status, Headers headers) {
  if (answer_ != Answer::none) return fail(ErrorKind::conflict, "the request has been answered already");
  if (!body_.at_end()) {
    char buffer[4096];
    if (TRY(read_body(buffer)) != 0 || !body_.at_end())
      return fail(ErrorKind::invalid, "a connection cannot be taken over before its request's body is read");
  }
  std::pair<Fd, Fd> relayed;
  if (tls_) relayed = TRY(make_socket_pair(SOCK_STREAM));
  std::string head = TRY(format_head(
      fmt::format("HTTP/1.1 {} {}", status, status == 101 ? "UPGRADED" : reason_phrase(status)), headers));
  answer_ = Answer::streaming;
  TRY(stream_->write(head));
  answer_ = Answer::hijacked;

  HijackedConnection taken;
  taken.leftover = input_.take();
  host_.forget_descriptor();
  if (tls_) {
    std::unique_ptr<TlsStream> stream(std::exchange(tls_, nullptr));
    (void)stream_.release();  // the same object
    TRY(host_.start_relay(std::move(stream), std::move(relayed.first)));
    taken.socket = std::move(relayed.second);
  } else {
    taken.socket = stream_->take_descriptor();
  }
  return taken;
}

const Request& Exchange::request() const noexcept { return connection_.request_; }

Result<std::size_t> Exchange::read_body(std::span<char> buffer) { return connection_.read_body(buffer); }

std::vector<Fd> Exchange::take_descriptors() noexcept { return connection_.stream_->take_passed(); }

Result<std::string> Exchange::read_body_whole(std::size_t limit) {
  if (connection_.body_.known_left() <= limit) TRY(connection_.allow_body());
  return connection_.body_.read_whole(connection_.input_, limit, connection_.body_deadline());
}

Result<void> Exchange::respond(int status, Headers headers, std::string_view body) {
  return connection_.respond(status, std::move(headers), body);
}

Result<void> Exchange::begin(int status, Headers headers) {
  return connection_.begin(status, std::move(headers));
}

Result<void> Exchange::write(std::string_view data) { return connection_.write(data); }

Result<void> Exchange::write_file(int file, std::uint64_t offset, std::uint64_t length) {
  return connection_.write_file(file, offset, length);
}

Result<void> Exchange::finish() { return connection_.finish(); }

Result<HijackedConnection> Exchange::hijack(int status, Headers headers) {
  return connection_.hijack(status, std::move(headers));
}

int Exchange::connection_descriptor() const noexcept {
  return connection_.answer_ == Connection::Answer::hijacked ? -1 : connection_.stream_->descriptor();
}

bool Exchange::hung_up() const noexcept {
  pollfd polled{connection_descriptor(), POLLRDHUP, 0};
  return poll(&polled, 1, 0) > 0 && (polled.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}

bool Exchange::responded() const noexcept { return connection_.answer_ != Connection::Answer::none; }

}  // namespace berth::http
