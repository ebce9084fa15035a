// SPDX-License-Identifier: Apache-2.0
#include "registry/endpoints.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cstring>

#include "base/file.h"
#include "base/text.h"

namespace berth::registry {
namespace {

constexpr std::string_view kDockerHub = "docker.io";
constexpr std::string_view kDockerHubRegistry = "registry-1.docker.io";

// "host:5000" -> "host"; "[::1]:5000" -> "::1".
std::string_view without_port(std::string_view host) {
  if (host.starts_with('[')) return host.substr(1, host.find(']') - 1);
  const std::size_t colon = host.find(':');
  return host.find(':', colon + 1) == std::string_view::npos ? host.substr(0, colon) : host;
}

struct Address {
  unsigned char bytes[16] = {};
  int bits = 0;  // 32 or 128; 0: the text was a name
};

Address parse_address(std::string_view text) {
  Address address;
  const std::string terminated(text);
  if (inet_pton(AF_INET, terminated.c_str(), address.bytes) == 1)
    address.bits = 32;
  else if (inet_pton(AF_INET6, terminated.c_str(), address.bytes) == 1)
    address.bits = 128;
  return address;
}

bool in_network(const Address& address, std::string_view network) {
  const auto [base_text, length_text] = split_once(network, '/');
  const Address base = parse_address(base_text);
  const std::optional<int> length = parse_integer<int>(length_text);
  if (base.bits == 0 || base.bits != address.bits || !length || *length < 0 || *length > base.bits)
    return false;
  const int whole = *length / 8, rest = *length % 8;
  if (std::memcmp(base.bytes, address.bytes, static_cast<std::size_t>(whole)) != 0) return false;
  const auto mask = static_cast<unsigned char>(0xff00 >> rest);
  return rest == 0 || (base.bytes[whole] & mask) == (address.bytes[whole] & mask);
}

bool is_loopback(std::string_view host) {
  const std::string_view name = without_port(host);
  if (name == "localhost" || name.ends_with(".localhost")) return true;
  const Address address = parse_address(name);
  return in_network(address, "127.0.0.0/8") || in_network(address, "::1/128");
}

bool has_prefix(std::string_view name, std::string_view prefix) {
  return name.starts_with(prefix) && (name.size() == prefix.size() || name[prefix.size()] == '/');
}

const HostRule* rule_of(const std::string& repository, const Settings& settings) {
  const HostRule* best = nullptr;
  for (const HostRule& rule : settings.rules)
    if (has_prefix(repository, rule.prefix) && (!best || rule.prefix.size() > best->prefix.size()))
      best = &rule;
  return best;
}

// "https://mirror.example:5000/path", or without a scheme.
Result<Endpoint> mirror_endpoint(std::string_view text, std::string_view repository,
                                 const Settings& settings) {
  Endpoint endpoint{.repository = std::string(repository), .mirror = true};
  std::string_view rest = text;
  if (const std::size_t mark = text.find("://"); mark != std::string_view::npos) {
    endpoint.scheme = text.substr(0, mark);
    rest = text.substr(mark + 3);
  }
  if ((!endpoint.scheme.empty() && endpoint.scheme != "https" && endpoint.scheme != "http") || rest.empty() ||
      rest.find_first_of("?#@") != std::string_view::npos)
    return fail(ErrorKind::invalid, "'{}' is no address of a mirror: https://host[:port][/path] is", text);
  const std::size_t slash = rest.find('/');
  endpoint.host = rest.substr(0, slash);
  if (slash != std::string_view::npos) endpoint.base_path = rest.substr(slash);
  while (endpoint.base_path.ends_with('/')) endpoint.base_path.pop_back();
  endpoint.insecure = is_insecure(endpoint.host, settings);
  if (endpoint.scheme.empty() && !endpoint.insecure) endpoint.scheme = "https";
  return endpoint;
}

Endpoint own_endpoint(const oci::Reference& name, const HostRule* rule, const Settings& settings) {
  Endpoint endpoint{.host = name.domain(), .repository = name.path()};
  if (rule && !rule->location.empty()) {
    const std::string moved = rule->location + name.repository().substr(rule->prefix.size());
    const auto [host, path] = split_once(moved, '/');
    endpoint.host = host;
    endpoint.repository = path;
  }
  if (endpoint.host == kDockerHub) endpoint.host = kDockerHubRegistry;
  endpoint.insecure = is_insecure(endpoint.host, settings);
  if (rule && rule->insecure) endpoint.insecure = *rule->insecure;
  if (!endpoint.insecure) endpoint.scheme = "https";
  return endpoint;
}

bool proxy_is_bypassed(std::string_view host, std::string_view exceptions) {
  const std::string_view name = without_port(host);
  const Address address = parse_address(name);
  for (std::string_view entry : split(exceptions, ',')) {
    entry = trim(entry);
    if (entry.empty()) continue;
    if (entry == "*" || entry == host || entry == name) return true;
    if (address.bits != 0) {
      if (in_network(address, entry)) return true;
      continue;
    }
    if (entry.starts_with("*.")) entry.remove_prefix(1);
    const std::string suffix = entry.starts_with('.') ? std::string(entry) : "." + std::string(entry);
    if (name.ends_with(suffix) || name == suffix.substr(1)) return true;
  }
  return false;
}

Result<http::Proxy> parse_proxy(std::string_view text) {
  http::Proxy proxy;
  std::string_view rest = text;
  if (rest.starts_with("http://")) rest.remove_prefix(7);
  // The environment's value may hold a password: it is not repeated.
  if (rest.find("://") != std::string_view::npos)
    return fail(ErrorKind::unsupported, "only proxies of the form http://host:port are supported");
  rest = rest.substr(0, rest.find('/'));
  if (const std::size_t at = rest.rfind('@'); at != std::string_view::npos) {
    std::optional<std::string> user = percent_decode(rest.substr(0, at), false);
    if (!user) return fail(ErrorKind::invalid, "the proxy's user and password are not percent-encoded");
    proxy.authorization = "Basic " + to_base64(*user);
    rest.remove_prefix(at + 1);
  }
  const http::Endpoint parsed = TRY(http::Endpoint::parse("http://" + std::string(rest)));
  proxy.host = parsed.host;
  proxy.port = parsed.port;
  return proxy;
}

}  // namespace

bool is_insecure(std::string_view host, const Settings& settings) {
  if (is_loopback(host)) return true;
  const std::string_view name = without_port(host);
  const Address address = parse_address(name);
  return std::ranges::any_of(settings.insecure, [&](const std::string& entry) {
    return entry == host || entry == name || (address.bits != 0 && in_network(address, entry));
  });
}

Result<std::vector<Endpoint>> endpoints_of(const oci::Reference& name, const Settings& settings) {
  std::vector<Endpoint> endpoints;
  const HostRule* rule = rule_of(name.repository(), settings);
  Endpoint own = own_endpoint(name, rule, settings);
  if (rule)
    for (const std::string& mirror : rule->mirrors)
      endpoints.push_back(TRY(mirror_endpoint(mirror, own.repository, settings)));
  if (name.domain() == kDockerHub)
    for (const std::string& mirror : settings.mirrors)
      endpoints.push_back(TRY(mirror_endpoint(mirror, own.repository, settings)));
  endpoints.push_back(std::move(own));
  return endpoints;
}

Result<std::optional<http::Proxy>> proxy_for(std::string_view host, bool tls, const Proxies& proxies) {
  const std::string& text = tls ? proxies.https : proxies.http;
  if (text.empty() || is_loopback(host) || proxy_is_bypassed(host, proxies.without)) return std::nullopt;
  return TRY(parse_proxy(text));
}

Result<http::TlsClientSettings> tls_for(const Endpoint& endpoint, const Settings& settings) {
  http::TlsClientSettings tls{.verify = !endpoint.insecure};
  for (const std::string& above : settings.certificate_directories) {
    const std::string directory = above + "/" + endpoint.host;
    Result<std::vector<std::string>> names = list_directory(directory);
    if (!names) continue;
    for (const std::string& name : *names) {
      const std::string path = directory + "/" + name;
      if (name.ends_with(".crt")) tls.authorities.push_back(path);
      if (name.ends_with(".cert")) {
        const std::string key = path.substr(0, path.size() - 5) + ".key";
        if (!exists(key))
          return fail(ErrorKind::invalid, "the certificate {} has no key beside it: {} is missing", path,
                      key);
        tls.certificate = path;
        tls.key = key;
      }
    }
    // A certificate that was put there by hand is meant to be looked at.
    if (!tls.authorities.empty()) tls.verify = true;
    break;
  }
  return tls;
}

}  // namespace berth::registry
