// SPDX-License-Identifier: Apache-2.0
#include "http/tls.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>

#include "http/tls_stream.h"

namespace berth::http {

class TlsContext {
 public:
  TlsContext(SSL_CTX* owned, bool verify_peer) : verify(verify_peer), context_(owned, SSL_CTX_free) {}
  SSL_CTX* get() const noexcept { return context_.get(); }
  const bool verify;

 private:
  std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> context_;
};

namespace {

// OpenSSL's errors of this thread as one sentence, the queue emptied.
std::string openssl_errors() {
  std::string text;
  while (unsigned long code = ERR_get_error()) {
    const char* reason = ERR_reason_error_string(code);
    if (!text.empty()) text += ", ";
    text += reason ? reason : "unknown";
  }
  return text.empty() ? "unknown reason" : text;
}

Result<std::shared_ptr<TlsContext>> make_context(const SSL_METHOD* method, bool verify) {
  SSL_CTX* raw = SSL_CTX_new(method);
  if (!raw) return fail(ErrorKind::system, "set up TLS: {}", openssl_errors());
  auto context = std::make_shared<TlsContext>(raw, verify);
  SSL_CTX_set_min_proto_version(raw, TLS1_2_VERSION);
  SSL_CTX_set_mode(
      raw, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_options(raw, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  return context;
}

Result<void> use_certificate(SSL_CTX* context, const std::string& certificate, const std::string& key) {
  if (SSL_CTX_use_certificate_chain_file(context, certificate.c_str()) != 1)
    return fail(ErrorKind::invalid, "use the TLS certificate {}: {}", certificate, openssl_errors());
  if (SSL_CTX_use_PrivateKey_file(context, key.c_str(), SSL_FILETYPE_PEM) != 1)
    return fail(ErrorKind::invalid, "use the TLS key {}: {}", key, openssl_errors());
  if (SSL_CTX_check_private_key(context) != 1)
    return fail(ErrorKind::invalid, "the TLS key {} does not belong to the certificate {}", key, certificate);
  return {};
}

Result<void> trust(SSL_CTX* context, const std::string& authority) {
  if (SSL_CTX_load_verify_file(context, authority.c_str()) != 1)
    return fail(ErrorKind::invalid, "use the TLS authority {}: {}", authority, openssl_errors());
  return {};
}

// What OpenSSL reads and writes through. Its own socket BIO would raise SIGPIPE and knows no deadlines.
struct Channel {
  Fd socket;
  Deadline deadline;          // of reads
  bool non_blocking = false;  // relaying: report EAGAIN instead of waiting
  bool timed_out = false;
  int error = 0;
};

Channel& channel_of(BIO* bio) { return *static_cast<Channel*>(BIO_get_data(bio)); }

int channel_read(BIO* bio, char* data, int size) {
  Channel& channel = channel_of(bio);
  BIO_clear_retry_flags(bio);
  for (;;) {
    const bool dont_wait = channel.non_blocking || channel.deadline;
    ssize_t got =
        recv(channel.socket.get(), data, static_cast<std::size_t>(size), dont_wait ? MSG_DONTWAIT : 0);
    if (got >= 0) return static_cast<int>(got);
    if (errno == EINTR) continue;
    if (errno == EAGAIN && channel.non_blocking) {
      BIO_set_retry_read(bio);
      return -1;
    }
    if (errno == EAGAIN) {
      Result<bool> ready = wait_for(channel.socket.get(), POLLIN, channel.deadline);
      if (ready && *ready) continue;
      channel.timed_out = true;
      return -1;
    }
    channel.error = errno;
    return -1;
  }
}

int channel_write(BIO* bio, const char* data, int size) {
  Channel& channel = channel_of(bio);
  BIO_clear_retry_flags(bio);
  for (;;) {
    ssize_t put = send(channel.socket.get(), data, static_cast<std::size_t>(size),
                       MSG_NOSIGNAL | (channel.non_blocking ? MSG_DONTWAIT : 0));
    if (put >= 0) return static_cast<int>(put);
    if (errno == EINTR) continue;
    if (errno == EAGAIN && channel.non_blocking)
      BIO_set_retry_write(bio);
    else
      channel.error = errno;
    return -1;
  }
}

long channel_control(BIO*, int command, long, void*) { return command == BIO_CTRL_FLUSH ? 1 : 0; }

const BIO_METHOD* channel_method() {
  static BIO_METHOD* const method = [] {
    BIO_METHOD* made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "berth socket");
    BIO_meth_set_read(made, channel_read);
    BIO_meth_set_write(made, channel_write);
    BIO_meth_set_ctrl(made, channel_control);
    return made;
  }();
  return method;
}

// Bytes on their way in one direction of a relay.
struct Lane {
  std::array<char, 16384> bytes;
  std::size_t begin = 0, end = 0;
  bool ended = false;   // no more will come
  bool closed = false;  // and the other side was told
  bool empty() const noexcept { return begin == end; }
};

class OpenSslStream final : public TlsStream {
 public:
  OpenSslStream(Fd socket, SSL_CTX* context) : ssl_(SSL_new(context), SSL_free) {
    channel_.socket = std::move(socket);
    BIO* bio = BIO_new(channel_method());
    BIO_set_data(bio, &channel_);
    BIO_set_init(bio, 1);
    SSL_set_bio(ssl_.get(), bio, bio);
  }
  ~OpenSslStream() override {
    if (established_ && !(SSL_get_shutdown(ssl_.get()) & SSL_SENT_SHUTDOWN)) {
      channel_.non_blocking = true;  // a farewell is not worth waiting for
      ERR_clear_error();
      SSL_shutdown(ssl_.get());
    }
  }

  Result<void> shake_hands(const Deadline& deadline) override {
    channel_.deadline = deadline;
    const bool as_server = SSL_is_server(ssl_.get()) == 1;
    ERR_clear_error();
    int done = as_server ? SSL_accept(ssl_.get()) : SSL_connect(ssl_.get());
    if (done == 1) {
      established_ = true;
      return {};
    }
    if (channel_.timed_out) return fail(ErrorKind::timeout, "TLS handshake: no answer in time");
    if (long verdict = SSL_get_verify_result(ssl_.get()); !as_server && verdict != X509_V_OK)
      return fail(ErrorKind::unauthenticated, "TLS handshake: the server's certificate is not trusted: {}",
                  X509_verify_cert_error_string(verdict));
    if (channel_.error != 0) return fail_errno(channel_.error, "TLS handshake");
    return fail(ErrorKind::unauthenticated, "TLS handshake: {}", openssl_errors());
  }

  SSL* ssl() noexcept { return ssl_.get(); }

  std::string peer_certificate_name() const override {
    X509* certificate = SSL_get0_peer_certificate(ssl_.get());
    if (!certificate) return {};
    std::unique_ptr<BIO, decltype(&BIO_free)> text(BIO_new(BIO_s_mem()), BIO_free);
    X509_NAME_print_ex(text.get(), X509_get_subject_name(certificate), 0, XN_FLAG_RFC2253);
    char* bytes = nullptr;
    long size = BIO_get_mem_data(text.get(), &bytes);
    return size > 0 ? std::string(bytes, static_cast<std::size_t>(size)) : std::string();
  }

  Result<std::size_t> read(std::span<char> buffer, const Deadline& deadline) override {
    channel_.deadline = deadline;
    ERR_clear_error();
    std::size_t got = 0;
    int done = SSL_read_ex(ssl_.get(), buffer.data(), buffer.size(), &got);
    if (done == 1) return got;
    if (SSL_get_error(ssl_.get(), done) == SSL_ERROR_ZERO_RETURN) return 0;
    return std::unexpected(transport_error("read from the TLS connection"));
  }

  Result<void> write(std::string_view first, std::string_view second, std::string_view third) override {
    const std::size_t total = first.size() + second.size() + third.size();
    if (total > first.size() && total <= kRecord) {
      std::string joined;
      joined.reserve(total);
      joined.append(first).append(second).append(third);
      return write_one(joined);
    }
    TRY(write_one(first));
    TRY(write_one(second));
    return write_one(third);
  }

  void shutdown_write() noexcept override {
    ERR_clear_error();
    if (established_) SSL_shutdown(ssl_.get());
  }
  int descriptor() const noexcept override { return channel_.socket.get(); }
  bool buffered() const noexcept override { return SSL_pending(ssl_.get()) > 0; }

  void relay(Fd local) override;

 private:
  static constexpr std::size_t kRecord = 16384;  // the most that one TLS record carries

  Result<void> write_one(std::string_view data) {
    while (!data.empty()) {
      ERR_clear_error();
      std::size_t put = 0;
      if (SSL_write_ex(ssl_.get(), data.data(), data.size(), &put) != 1)
        return std::unexpected(transport_error("write to the TLS connection"));
      data.remove_prefix(put);
    }
    return {};
  }

  Error transport_error(std::string_view task) {
    if (std::exchange(channel_.timed_out, false))
      return make_error(ErrorKind::timeout, 0, "nothing came within the time allowed", {});
    established_ = false;  // after a fatal error no farewell may be sent
    if (channel_.error == EAGAIN)
      return make_error(ErrorKind::timeout, 0, "the other side took no more within the time allowed", {});
    if (channel_.error != 0) return fail_errno(channel_.error, "{}", task).error();
    return fail(ErrorKind::unavailable, "{}: {}", task, openssl_errors()).error();
  }

  // One step of each direction; false when the connection is beyond use.
  bool pump_inward(Lane& lane, int local, short& wanted);
  bool pump_outward(Lane& lane, int local, short& wanted);

  Channel channel_;
  std::unique_ptr<SSL, decltype(&SSL_free)> ssl_;
  bool established_ = false;
};

// What SSL_get_error says as the poll events to wait for; nothing for an error that is final.
std::optional<short> events_wanted(int error) {
  if (error == SSL_ERROR_WANT_READ) return POLLIN;
  if (error == SSL_ERROR_WANT_WRITE) return POLLOUT;
  return std::nullopt;
}

bool OpenSslStream::pump_inward(Lane& lane, int local, short& wanted) {
  if (lane.empty() && !lane.ended) {
    ERR_clear_error();
    int done = SSL_read_ex(ssl_.get(), lane.bytes.data(), lane.bytes.size(), &lane.end);
    lane.begin = 0;
    if (done != 1) {
      lane.end = 0;
      int error = SSL_get_error(ssl_.get(), done);
      if (error == SSL_ERROR_ZERO_RETURN)
        lane.ended = true;
      else if (auto events = events_wanted(error))
        wanted |= *events;
      else
        return false;
    }
  }
  while (!lane.empty()) {
    ssize_t put =
        send(local, lane.bytes.data() + lane.begin, lane.end - lane.begin, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return errno == EAGAIN;
    lane.begin += static_cast<std::size_t>(put);
  }
  if (lane.ended && lane.empty() && !std::exchange(lane.closed, true)) ::shutdown(local, SHUT_WR);
  return true;
}

bool OpenSslStream::pump_outward(Lane& lane, int local, short& wanted) {
  if (lane.empty() && !lane.ended) {
    ssize_t got = recv(local, lane.bytes.data(), lane.bytes.size(), MSG_DONTWAIT);
    if (got < 0 && errno != EAGAIN && errno != EINTR) return false;
    lane.begin = 0;
    lane.end = got > 0 ? static_cast<std::size_t>(got) : 0;
    lane.ended = got == 0;
  }
  while (!lane.empty()) {
    ERR_clear_error();
    std::size_t put = 0;
    int done = SSL_write_ex(ssl_.get(), lane.bytes.data() + lane.begin, lane.end - lane.begin, &put);
    if (done != 1) {
      auto events = events_wanted(SSL_get_error(ssl_.get(), done));
      if (events) wanted |= *events;
      return events.has_value();
    }
    lane.begin += put;
  }
  if (lane.ended && lane.empty() && !lane.closed) {
    ERR_clear_error();
    int done = SSL_shutdown(ssl_.get());
    lane.closed = done >= 0 || SSL_get_error(ssl_.get(), done) != SSL_ERROR_WANT_WRITE;
    if (!lane.closed) wanted |= POLLOUT;
  }
  return true;
}

void OpenSslStream::relay(Fd local) {
  channel_.non_blocking = true;
  auto inward = std::make_unique<Lane>(), outward = std::make_unique<Lane>();
  for (;;) {
    short tls_wanted = 0;
    if (!pump_inward(*inward, local.get(), tls_wanted)) break;
    if (!pump_outward(*outward, local.get(), tls_wanted)) break;
    if (inward->closed && outward->closed) return;
    pollfd polled[2] = {{channel_.socket.get(), tls_wanted, 0}, {local.get(), 0, 0}};
    if (!inward->empty()) polled[1].events |= POLLOUT;
    if (outward->empty() && !outward->ended) polled[1].events |= POLLIN;
    // A full step left more to do at once: a whole record may hide in OpenSSL's buffer, unseen by poll.
    if (inward->empty() && !inward->ended && buffered() && tls_wanted == 0) continue;
    if (inward->empty() && !inward->ended) polled[0].events |= POLLIN;
    // Hang-ups are reported whether asked for or not: mute a side that has nothing to say yet.
    if (polled[0].events == 0) polled[0].fd = -1;
    if (polled[1].events == 0 && !outward->closed) polled[1].fd = -1;
    if (poll(polled, 2, -1) < 0 && errno != EINTR) break;
    // The local side's user has closed it, not only stopped sending: nobody will read what still comes.
    if (outward->closed && !inward->closed && (polled[1].revents & POLLHUP)) break;
  }
  established_ = false;
  ::shutdown(channel_.socket.get(), SHUT_RDWR);
}

}  // namespace

Result<std::shared_ptr<TlsContext>> make_server_tls(const TlsServerSettings& settings) {
  std::shared_ptr<TlsContext> context =
      TRY(make_context(TLS_server_method(), !settings.client_authority.empty()));
  if (settings.only_tls13) SSL_CTX_set_min_proto_version(context->get(), TLS1_3_VERSION);
  TRY(use_certificate(context->get(), settings.certificate, settings.key));
  SSL_CTX_set_session_cache_mode(context->get(), SSL_SESS_CACHE_OFF);
  if (context->verify) {
    TRY(trust(context->get(), settings.client_authority));
    SSL_CTX_set_client_CA_list(context->get(), SSL_load_client_CA_file(settings.client_authority.c_str()));
    SSL_CTX_set_verify(context->get(), SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
    // Without it a resumed session would carry a verdict over from another context.
    static constexpr unsigned char kSession[] = "berth";
    SSL_CTX_set_session_id_context(context->get(), kSession, sizeof kSession - 1);
  }
  return context;
}

Result<std::shared_ptr<TlsContext>> make_client_tls(const TlsClientSettings& settings) {
  std::shared_ptr<TlsContext> context = TRY(make_context(TLS_client_method(), settings.verify));
  if (!settings.certificate.empty()) TRY(use_certificate(context->get(), settings.certificate, settings.key));
  if (!settings.verify) return context;
  SSL_CTX_set_verify(context->get(), SSL_VERIFY_PEER, nullptr);
  if (!settings.authority.empty())
    TRY(trust(context->get(), settings.authority));
  else
    SSL_CTX_set_default_verify_paths(context->get());
  for (const std::string& authority : settings.authorities) TRY(trust(context->get(), authority));
  return context;
}

std::unique_ptr<TlsStream> make_server_stream(Fd socket, const TlsContext& context) {
  return std::make_unique<OpenSslStream>(std::move(socket), context.get());
}

Result<std::unique_ptr<TlsStream>> make_client_stream(Fd socket, const TlsContext& context,
                                                      const std::string& host) {
  auto stream = std::make_unique<OpenSslStream>(std::move(socket), context.get());
  in6_addr ignored;
  const bool numeric =
      inet_pton(AF_INET, host.c_str(), &ignored) == 1 || inet_pton(AF_INET6, host.c_str(), &ignored) == 1;
  if (!numeric) SSL_set_tlsext_host_name(stream->ssl(), host.c_str());
  if (context.verify) {
    const bool set = numeric ? X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(stream->ssl()), host.c_str()) == 1
                             : SSL_set1_host(stream->ssl(), host.c_str()) == 1;
    // Failing to set the name would mean to accept any: that must not pass.
    if (!set) return fail(ErrorKind::invalid, "'{}' is not a name that a certificate can have", host);
  }
  return stream;
}

}  // namespace berth::http
