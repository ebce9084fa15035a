// SPDX-License-Identifier: Apache-2.0
// What a registry is told: plain data, made by read_configuration() from a file.
#pragma once
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/log.h"

namespace berth::registryd {

struct HtpasswdSettings {
  std::string realm;
  std::string path;
};

struct TokenSettings {
  std::string realm;  // the URL of the token service
  std::string service;
  std::string issuer;
  std::string certificates;  // PEM file of those whose keys sign tokens ("rootcertbundle")
};

// What a pull-through cache puts up with from its upstream.
struct UpstreamPatience {
  std::chrono::milliseconds silence{30'000};         // before an answer, and within one
  std::chrono::milliseconds document{120'000};       // for a manifest, or a whole list of tags
  std::chrono::milliseconds window{30'000};          // within which a blob brings kLeastSpeed
  std::chrono::milliseconds slow{2'000};             // a failure that took longer is not waited for again...
  std::chrono::milliseconds away{15'000};            // ...for so long, where there is something here
  static constexpr std::uint64_t kLeastSpeed = 100;  // bytes a second
};

struct ProxySettings {
  std::string remote_url;  // "https://registry-1.docker.io"
  std::string username = {}, password = {};
  UpstreamPatience patience = {};
};

struct NotificationEndpoint {
  std::string name;
  std::string url;
  std::vector<std::pair<std::string, std::string>> headers;
  std::chrono::milliseconds timeout = std::chrono::seconds(1);
  int threshold = 5;                                            // failures in a row before it backs off
  std::chrono::milliseconds backoff = std::chrono::seconds(1);  // between tries then
};

struct TlsSettings {
  std::string certificate, key;
  std::vector<std::string> client_authorities;
  bool only_tls13 = false;
};

struct Settings {
  LogLevel log_level = LogLevel::info;
  bool access_log = true;

  std::string root_directory;  // of storage.filesystem
  bool allow_delete = false;
  bool read_only = false;
  bool purge_uploads = true;
  std::chrono::seconds purge_age = std::chrono::hours(168);
  std::chrono::seconds purge_interval = std::chrono::hours(24);
  bool purge_dry_run = false;

  std::string address = ":5000";  // host:port; a path when the network is "unix"
  std::string network = "tcp";
  std::string external_host;  // a URL; empty: locations are relative
  bool relative_urls = false;
  std::vector<std::pair<std::string, std::string>> headers;  // added to every answer
  std::optional<TlsSettings> tls;
  std::chrono::seconds drain_timeout = std::chrono::seconds(10);

  std::optional<HtpasswdSettings> htpasswd;
  std::optional<TokenSettings> token;
  std::optional<ProxySettings> proxy;
  std::vector<NotificationEndpoint> notifications;
};

}  // namespace berth::registryd
