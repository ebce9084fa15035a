// SPDX-License-Identifier: Apache-2.0
#include "proxy/worker/tls.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/log.h"
#include "base/text.h"

namespace berth::proxy {
namespace {

constexpr unsigned char kProtocols[] = "\x02h2\x08http/1.1";

std::string openssl_reason() {
  const unsigned long code = ERR_peek_last_error();
  const char* reason = code ? ERR_reason_error_string(code) : nullptr;
  ERR_clear_error();
  return reason ? reason : "unknown error";
}

int choose_protocol(SSL*, const unsigned char** chosen, unsigned char* length, const unsigned char* offered,
                    unsigned offered_length, void*) {
  unsigned char* found = nullptr;
  if (SSL_select_next_proto(&found, length, kProtocols, sizeof kProtocols - 1, offered, offered_length) !=
      OPENSSL_NPN_NEGOTIATED)
    return SSL_TLSEXT_ERR_NOACK;
  *chosen = found;
  return SSL_TLSEXT_ERR_OK;
}

std::string stamp_of(const std::string& path) {
  struct stat status;
  if (stat(path.c_str(), &status) != 0) return path + " none\n";
  return fmt::format("{} {} {} {}.{}\n", path, status.st_ino, status.st_size, status.st_mtim.tv_sec,
                     status.st_mtim.tv_nsec);
}

}  // namespace

void FreeSslContext::operator()(SSL_CTX* context) const noexcept { SSL_CTX_free(context); }

Result<std::unique_ptr<ServerTls>> ServerTls::open(const TlsFiles& files) {
  std::unique_ptr<ServerTls> tls(new ServerTls(files));
  tls->default_ = TRY_AS("https", tls->load(files.certificate, files.key));
  SSL_CTX_set_tlsext_servername_callback(tls->default_.get(), choose_certificate);
  SSL_CTX_set_tlsext_servername_arg(tls->default_.get(), tls.get());
  tls->by_host_ = std::make_shared<Contexts>();
  tls->reload();
  return tls;
}

Result<std::shared_ptr<SSL_CTX>> ServerTls::load(const std::string& certificate, const std::string& key) {
  std::shared_ptr<SSL_CTX> context(SSL_CTX_new(TLS_server_method()), FreeSslContext());
  if (!context) return fail(ErrorKind::exhausted, "make a TLS context: {}", openssl_reason());
  SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  SSL_CTX_set_mode(context.get(), SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                      SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_options(context.get(), SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE);
  SSL_CTX_set_alpn_select_cb(context.get(), choose_protocol, nullptr);
  if (SSL_CTX_use_certificate_chain_file(context.get(), certificate.c_str()) != 1)
    return fail(ErrorKind::invalid, "the certificate {}: {}", certificate, openssl_reason());
  if (SSL_CTX_use_PrivateKey_file(context.get(), key.c_str(), SSL_FILETYPE_PEM) != 1)
    return fail(ErrorKind::invalid, "the key {}: {}", key, openssl_reason());
  if (SSL_CTX_check_private_key(context.get()) != 1)
    return fail(ErrorKind::invalid, "the key {} is not that of the certificate {}", key, certificate);
  return context;
}

Ssl ServerTls::accept(int socket) {
  Ssl ssl(SSL_new(default_.get()));
  if (!ssl || SSL_set_fd(ssl.get(), socket) != 1) return nullptr;
  SSL_set_accept_state(ssl.get());
  return ssl;
}

int ServerTls::choose_certificate(SSL* ssl, int*, void* self) {
  const char* name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
  if (!name) return SSL_TLSEXT_ERR_NOACK;
  if (const std::shared_ptr<SSL_CTX> context = static_cast<ServerTls*>(self)->context_for(to_lower(name)))
    SSL_set_SSL_CTX(ssl, context.get());
  return SSL_TLSEXT_ERR_OK;
}

std::shared_ptr<SSL_CTX> ServerTls::context_for(std::string_view host) {
  std::shared_ptr<const Contexts> contexts;
  {
    std::lock_guard lock(mutex_);
    contexts = by_host_;
  }
  if (auto found = contexts->find(host); found != contexts->end()) return found->second;
  const std::size_t dot = host.find('.');
  if (dot == std::string_view::npos) return nullptr;
  const auto found = contexts->find("_" + std::string(host.substr(dot)));
  return found == contexts->end() ? nullptr : found->second;
}

std::string ServerTls::stamp_of_directory() const {
  std::string stamp;
  const Result<std::vector<std::string>> hosts = list_directory(files_.directory);
  if (!hosts) return stamp;
  for (const std::string& host : *hosts)
    for (const char* name : {"/cert.pem", "/key.pem"})
      stamp += stamp_of(files_.directory + "/" + host + name);
  return stamp;
}

void ServerTls::reload() {
  if (files_.directory.empty()) return;
  std::string stamp = stamp_of_directory();
  if (stamp == stamp_) return;
  auto loaded = std::make_shared<const Contexts>(load_directory());
  stamp_ = std::move(stamp);
  std::lock_guard lock(mutex_);
  by_host_ = std::move(loaded);
}

// A certificate that is just being written does not match its key for a moment: what was stays.
ServerTls::Contexts ServerTls::load_directory() {
  Contexts contexts;
  const Result<std::vector<std::string>> hosts = list_directory(files_.directory);
  if (!hosts) {
    log_warning("proxy", "https.certDir: {}", hosts.error().message);
    return *by_host_;
  }
  for (const std::string& name : *hosts) {
    const std::string directory = files_.directory + "/" + name, host = to_lower(name);
    if (!exists(directory + "/cert.pem")) continue;
    if (Result<std::shared_ptr<SSL_CTX>> context = load(directory + "/cert.pem", directory + "/key.pem")) {
      contexts[host] = std::move(*context);
    } else {
      log_warning("proxy", "https.certDir: {}", context.error().message);
      if (auto before = by_host_->find(host); before != by_host_->end()) contexts[host] = before->second;
    }
  }
  return contexts;
}

SslContext make_upstream_tls() {
  SslContext context(SSL_CTX_new(TLS_client_method()));
  if (!context) return context;
  SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  SSL_CTX_set_mode(context.get(), SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                      SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_default_verify_paths(context.get());
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
  return context;
}

}  // namespace berth::proxy
