// SPDX-License-Identifier: Apache-2.0
// TLS towards clients: a certificate for everybody, and those of a directory for the hosts that they are for.
//
//   certDir/example.org/cert.pem    the host's certificate, then its intermediates
//   certDir/example.org/key.pem
//   certDir/_.example.org/...       for each host one label below (a file name cannot well begin with *)
//
// The directory is read again when it changes; what cannot be read there keeps what was.
#pragma once
#include <openssl/types.h>

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "base/error.h"
#include "proxy/settings.h"
#include "proxy/worker/connection.h"

namespace berth::proxy {

struct FreeSslContext {
  void operator()(SSL_CTX* context) const noexcept;
};
using SslContext = std::unique_ptr<SSL_CTX, FreeSslContext>;

class ServerTls {
 public:
  static Result<std::unique_ptr<ServerTls>> open(const TlsFiles& files);
  ServerTls(const ServerTls&) = delete;
  ServerTls& operator=(const ServerTls&) = delete;

  // For a connection that was accepted. Thread-safe.
  Ssl accept(int socket);
  // Reads the directory again where it changed.
  void reload();

 private:
  using Contexts = std::map<std::string, std::shared_ptr<SSL_CTX>, std::less<>>;
  explicit ServerTls(TlsFiles files) : files_(std::move(files)) {}
  Result<std::shared_ptr<SSL_CTX>> load(const std::string& certificate, const std::string& key);
  std::string stamp_of_directory() const;
  Contexts load_directory();
  std::shared_ptr<SSL_CTX> context_for(std::string_view host);
  static int choose_certificate(ssl_st* ssl, int* alert, void* self);

  const TlsFiles files_;
  std::shared_ptr<SSL_CTX> default_;
  std::mutex mutex_;
  std::shared_ptr<const Contexts> by_host_;
  std::string stamp_;  // of the directory as it was read
};

// Towards backends of https:// addresses: the system's authorities are trusted, and names are checked.
SslContext make_upstream_tls();

}  // namespace berth::proxy
