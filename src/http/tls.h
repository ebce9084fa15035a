// SPDX-License-Identifier: Apache-2.0
// TLS settings and contexts. A context is made once from files and shared by the connections that use it.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"

namespace berth::http {

class TlsContext;  // an SSL_CTX, in tls.cpp alone

// A server's: TLS 1.2 or newer. With `client_authority` a client must show a certificate that it signed
// (dockerd's --tlsverify); without, anyone may connect (--tls).
struct TlsServerSettings {
  std::string certificate;       // PEM file: the server's certificate, then its intermediates
  std::string key;               // PEM file
  std::string client_authority;  // PEM file, may be empty
  bool only_tls13 = false;
};
Result<std::shared_ptr<TlsContext>> make_server_tls(const TlsServerSettings& settings);

struct TlsClientSettings {
  std::string authority;                      // PEM file of the CAs to trust; empty: the system's
  std::vector<std::string> authorities = {};  // PEM files of more CAs to trust
  std::string certificate;                    // PEM file, may be empty
  std::string key;                            // PEM file, may be empty
  bool verify = true;                         // false: any certificate of any name will do
};
Result<std::shared_ptr<TlsContext>> make_client_tls(const TlsClientSettings& settings);

}  // namespace berth::http
