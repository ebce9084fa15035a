// SPDX-License-Identifier: Apache-2.0
// What a configuration file says (configuration.h), read and checked.
#pragma once
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "proxy/http1/head.h"
#include "proxy/network.h"

namespace berth::proxy {

struct Listen {
  std::string address;  // numeric
  std::uint16_t port = 0;
  bool tls = false;
};

struct TlsFiles {
  std::string certificate, key;  // PEM
  std::string directory;         // of a directory a host name, each with cert.pem and key.pem; may be empty
};

struct RedisSettings {
  std::string host = "127.0.0.1";
  std::uint16_t port = 6379;
  std::string unix_path;  // instead of the two
  unsigned database = 0;
  std::string password;
  std::string prefix;  // before every key
};

struct AdminSettings {
  std::string address = "127.0.0.1";
  std::uint16_t port = 0;
  std::string unix_path;  // instead of the two
  std::string token;      // of "Authorization: Bearer"; empty: none is asked for
};

struct Timeouts {
  std::chrono::milliseconds head{10'000};  // for a whole head, from its first byte on
  std::chrono::milliseconds idle{60'000};  // between requests
  std::chrono::milliseconds connect{5'000};
  std::chrono::milliseconds backend{30'000};  // for a backend to say something
  std::chrono::milliseconds drain{30'000};    // for requests under way, when the proxy ends
};

struct Settings {
  unsigned workers = 1;
  std::vector<Listen> listens;
  std::optional<TlsFiles> tls;
  std::optional<RedisSettings> redis;
  std::optional<AdminSettings> admin;
  std::string store;                     // a file; empty: routes of the admin API are not kept
  std::string routes_file;               // static routes
  std::string engine;                    // unix:///run/berth/berth.sock
  std::string access_log;                // empty: none
  std::string static_directory;          // of error pages
  std::string user, group;               // to become, behind the binding of ports
  std::vector<Network> trusted_proxies;  // whose forwarding fields are believed
  HeadLimits head;
  Timeouts timeouts;
  std::chrono::seconds dead_backend_ttl{30};
  // For this long a backend is left out here: less than its death is told at Redis, where it is told anew
  // before that ends, and so without a gap for as long as requests find it dead.
  std::chrono::milliseconds dead_here() const noexcept {
    return std::chrono::milliseconds(dead_backend_ttl.count() * 900);
  }
  bool dead_backend_on_500 = false;
  unsigned retries = 3;
  unsigned most_connections = 10'000;  // of clients, each worker
  bool backend_keep_alive = true;
};

}  // namespace berth::proxy
