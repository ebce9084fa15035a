// SPDX-License-Identifier: Apache-2.0
// Where a repository is: a pure function of its name and the settings.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "http/client.h"
#include "oci/reference.h"
#include "registry/settings.h"

namespace berth::registry {

struct Endpoint {
  std::string host;        // "registry-1.docker.io", "127.0.0.1:5000": as certs.d and messages name it
  std::string base_path;   // before "/v2/"; "" as a rule
  std::string repository;  // "library/busybox"
  std::string scheme;      // "https", "http", or "": https, and http if that fails (insecure ones alone)
  bool insecure = false;   // certificates are not verified
  bool mirror = false;     // holds copies: not asked for credentials of the real one, and never pushed to
  bool operator==(const Endpoint&) const = default;
};

// In the order in which a pull asks them: mirrors, then the registry itself. A push goes to the last.
Result<std::vector<Endpoint>> endpoints_of(const oci::Reference& name, const Settings& settings);

// Whether plain HTTP and unverified certificates are allowed: loopback, and what "insecure-registries" has.
bool is_insecure(std::string_view host, const Settings& settings);

// The proxy that requests to this host go through; none for loopback and what NO_PROXY excepts.
Result<std::optional<http::Proxy>> proxy_for(std::string_view host, bool tls, const Proxies& proxies);

// TLS as certs.d says for this host.
Result<http::TlsClientSettings> tls_for(const Endpoint& endpoint, const Settings& settings);

}  // namespace berth::registry
