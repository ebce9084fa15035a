// SPDX-License-Identifier: Apache-2.0
// How an engine reaches registries: daemon.json's "registry-mirrors", "insecure-registries", "registries" and
// "proxies", and the certificates in certs.d. Plain values; endpoints.h decides by them.
#pragma once
#include <chrono>
#include <optional>
#include <string>
#include <vector>

namespace berth::registry {

// "registries": {"<prefix>": {...}}. The longest prefix of a repository's full name wins, at a boundary of
// its parts: "docker.io/library" is for docker.io/library/busybox, and not for docker.io/library2/x.
struct HostRule {
  std::string prefix;
  std::string location;              // "registry.example:5000/mirror": replaces the prefix; "" keeps it
  std::vector<std::string> mirrors;  // asked first, in this order, by pulls: "https://mirror.example[/path]"
  std::optional<bool> insecure;      // plain HTTP, and certificates that nobody signed, will do
};

struct Proxies {
  std::string http;     // "http://[user:password@]host:port", for plain HTTP
  std::string https;    // the same, for TLS
  std::string without;  // NO_PROXY: hosts, .domains, CIDRs, "*", comma-separated
};

struct Settings {
  std::vector<std::string> mirrors;   // of docker.io
  std::vector<std::string> insecure;  // "host", "host:port", CIDRs; loopback always is
  std::vector<HostRule> rules;
  Proxies proxies;
  // <directory>/<host[:port]>/ holds *.crt (authorities) and *.cert with *.key (a client's), as Docker's.
  std::vector<std::string> certificate_directories = {"/etc/berth/certs.d", "/etc/docker/certs.d"};
  int parallel_downloads = 3;
  int parallel_uploads = 5;
  // Of silence, after which an attempt is given up. Attempts are repeated with growing pauses.
  std::chrono::milliseconds patience{30'000};
  int attempts = 5;
};

}  // namespace berth::registry
