// SPDX-License-Identifier: Apache-2.0
#include "proxy/configuration.h"

#include <arpa/inet.h>

#include <algorithm>

#include "base/json.h"
#include "base/text.h"

namespace berth::proxy {
namespace {

using Milliseconds = std::chrono::milliseconds;

// Hipache takes one string or a list of them in several places.
std::vector<std::string> read_strings(ObjectReader& in, std::string_view name) {
  std::vector<std::string> values;
  const json::value* found = in.find(name);
  if (!found) return values;
  if (found->is_string())
    values.emplace_back(std::string_view(found->get_string()));
  else
    in.read(name, values);
  return values;
}

void read_seconds(ObjectReader& in, std::string_view name, Milliseconds& out) {
  std::optional<double> seconds;
  in.read(name, seconds);
  if (!seconds) return;
  if (*seconds <= 0 || *seconds > 86'400) return in.refuse(name, "seconds, more than 0");
  out = Milliseconds(static_cast<std::int64_t>(*seconds * 1000));
}

void read_server(ObjectReader& in, Settings& settings) {
  in.read("accessLog", settings.access_log);
  in.read("workers", settings.workers);
  if (settings.workers < 1 || settings.workers > 256) in.refuse("workers", "between 1 and 256");
  in.read("deadBackendOn500", settings.dead_backend_on_500);
  in.read("retryOnError", settings.retries);
  if (settings.retries > 100) in.refuse("retryOnError", "100 at most");
  in.read("httpKeepAlive", settings.backend_keep_alive);
  in.read("staticDir", settings.static_directory);
  Milliseconds ttl = settings.dead_backend_ttl;
  read_seconds(in, "deadBackendTTL", ttl);
  settings.dead_backend_ttl = std::chrono::ceil<std::chrono::seconds>(ttl);
  read_seconds(in, "tcpTimeout", settings.timeouts.backend);
  settings.timeouts.connect = std::min(settings.timeouts.connect, settings.timeouts.backend);
}

void read_listens(ObjectReader& in, bool tls, Settings& settings) {
  std::uint32_t port = tls ? 443 : 80;
  in.read("port", port);
  if (port < 1 || port > 65'535) in.refuse("port", "between 1 and 65535");
  std::vector<std::string> addresses = read_strings(in, "bind");
  if (addresses.empty()) addresses = {"0.0.0.0"};
  for (const std::string& address : addresses) {
    in6_addr parsed;
    if (inet_pton(AF_INET, address.c_str(), &parsed) != 1 &&
        inet_pton(AF_INET6, address.c_str(), &parsed) != 1)
      in.refuse("bind", "numeric addresses");
    settings.listens.push_back({.address = address, .port = static_cast<std::uint16_t>(port), .tls = tls});
  }
}

void read_tls(ObjectReader& in, Settings& settings) {
  TlsFiles files;
  in.read("cert", files.certificate);
  in.read("key", files.key);
  in.read("certDir", files.directory);
  if (files.certificate.empty()) in.refuse("cert", "a PEM file");
  if (files.key.empty()) in.refuse("key", "a PEM file");
  settings.tls = std::move(files);
  read_listens(in, true, settings);
}

// Before version 0.3 Hipache had all of it in `server`.
void read_old_form(ObjectReader& in, Settings& settings) {
  if (in.find("port")) {
    std::uint32_t port = 80;
    std::string address = "0.0.0.0";
    in.read("port", port);
    in.read("address", address);
    if (port < 1 || port > 65'535) in.refuse("port", "between 1 and 65535");
    settings.listens.push_back({.address = address, .port = static_cast<std::uint16_t>(port)});
  }
  in.read_object("https", [&](ObjectReader& https) { read_tls(https, settings); });
}

void read_admin(ObjectReader& in, Settings& settings) {
  AdminSettings admin;
  in.read("bind", admin.address);
  std::uint32_t port = 0;
  in.read("port", port);
  in.read("socket", admin.unix_path);
  in.read("token", admin.token);
  if (port > 65'535 || (port == 0 && admin.unix_path.empty())) in.refuse("port", "between 1 and 65535");
  admin.port = static_cast<std::uint16_t>(port);
  in_addr four;
  in6_addr six;
  const bool is_four = inet_pton(AF_INET, admin.address.c_str(), &four) == 1;
  if (!is_four && inet_pton(AF_INET6, admin.address.c_str(), &six) != 1)
    in.refuse("bind", "a numeric address");
  const bool loopback = is_four ? ntohl(four.s_addr) >> 24 == 127 : admin.address == "::1";
  if (!loopback && admin.token.empty() && admin.unix_path.empty())
    in.refuse("bind", "an address of this machine alone (127.0.0.1), or there must be a token");
  settings.admin = std::move(admin);
}

Result<void> read_drivers(ObjectReader& in, Configuration& configuration) {
  for (const std::string& url : read_strings(in, "driver")) {
    if (!url.starts_with("redis"))
      return fail(ErrorKind::unsupported,
                  "driver: \"{}\" is no redis:// address, the one driver that there is", url);
    if (configuration.settings.redis) {
      configuration.warnings.push_back("driver: of several addresses the first is used");
      break;
    }
    configuration.settings.redis = TRY_AS("driver", parse_redis_url(url));
  }
  return {};
}

// Before there were drivers: `redis` since Hipache 0.3's beginnings, redisHost and its like before that.
void read_old_redis(ObjectReader& in, Settings& settings) {
  const bool flat =
      in.find("redisHost") || in.find("redisPort") || in.find("redisDatabase") || in.find("redisPassword");
  if (settings.redis || (!in.find("redis") && !flat)) return;
  RedisSettings redis;
  std::uint32_t port = redis.port;
  in.read_object("redis", [&](ObjectReader& object) {
    object.read("host", redis.host);
    object.read("port", port);
    object.read("database", redis.database);
    object.read("password", redis.password);
    object.read("prefix", redis.prefix);
  });
  in.read("redisHost", redis.host);
  in.read("redisPort", port);
  in.read("redisDatabase", redis.database);
  in.read("redisPassword", redis.password);
  if (port < 1 || port > 65'535) in.refuse(flat ? "redisPort" : "redis", "with a port between 1 and 65535");
  redis.port = static_cast<std::uint16_t>(port);
  settings.redis = std::move(redis);
}

Result<void> read_networks(ObjectReader& in, Settings& settings) {
  for (const std::string& text : read_strings(in, "trustedProxies"))
    settings.trusted_proxies.push_back(TRY_AS("trustedProxies", parse_network(text)));
  return {};
}

void warn_of_unknown(const json::value& document, Configuration& configuration) {
  const auto warn = [&](const json::value* object, std::string_view path,
                        std::initializer_list<std::string_view> known) {
    if (!object || !object->is_object()) return;
    for (const json::key_value_pair& member : object->get_object())
      if (std::ranges::find(known, std::string_view(member.key())) == known.end())
        configuration.warnings.push_back(
            fmt::format("{}{} means nothing here", path, std::string_view(member.key())));
  };
  const json::object& all = document.get_object();
  warn(&document, "",
       {"server", "http", "https", "driver", "redis", "redisHost", "redisPort", "redisDatabase",
        "redisPassword", "user", "group", "admin", "store", "engine", "routes", "trustedProxies"});
  // maxSockets and lruCache were of node.js: connections to backends and a cache of lookups. Neither is
  // bounded here by a number that somebody must find.
  warn(all.if_contains("server"), "server.",
       {"accessLog", "workers", "maxSockets", "deadBackendTTL", "tcpTimeout", "retryOnError",
        "deadBackendOn500", "httpKeepAlive", "staticDir", "lruCache", "debug", "port", "address", "https"});
  warn(all.if_contains("http"), "http.", {"port", "bind"});
  warn(all.if_contains("https"), "https.", {"port", "bind", "key", "cert", "certDir", "ca", "passphrase"});
  warn(all.if_contains("admin"), "admin.", {"bind", "port", "socket", "token"});
}

Result<Configuration> read_document(const json::value& document) {
  Configuration configuration;
  Settings& settings = configuration.settings;
  ObjectReader in(document, "");
  in.read_object("server", [&](ObjectReader& server) { read_server(server, settings); });
  in.read_object("http", [&](ObjectReader& http) { read_listens(http, false, settings); });
  in.read_object("https", [&](ObjectReader& https) { read_tls(https, settings); });
  in.read_object("admin", [&](ObjectReader& admin) { read_admin(admin, settings); });
  if (settings.listens.empty())
    in.read_object("server", [&](ObjectReader& server) { read_old_form(server, settings); });
  in.read("store", settings.store);
  in.read("engine", settings.engine);
  in.read("routes", settings.routes_file);
  in.read("user", settings.user);
  in.read("group", settings.group);
  TRY(read_drivers(in, configuration));
  read_old_redis(in, settings);
  TRY(read_networks(in, settings));
  TRY(in.finish());
  if (settings.listens.empty()) return fail(ErrorKind::invalid, "http or https must say where to listen");
  warn_of_unknown(document, configuration);
  return configuration;
}

}  // namespace

Result<Configuration> parse_configuration(std::string_view text, const std::string& name) {
  const json::value document = TRY(parse_json(text, name));
  if (!document.is_object()) return fail(ErrorKind::invalid, "{} must be a JSON object", name);
  return TRY_AS(name, read_document(document));
}

Result<RedisSettings> parse_redis_url(std::string_view url) {
  const auto wrong = [&] {
    return fail(ErrorKind::invalid,
                "\"{}\" is no address of a Redis server: redis://host:port/database#prefix", url);
  };
  RedisSettings redis;
  std::string_view rest = url;
  if (const auto [before, prefix] = split_once(rest, '#'); before.size() < rest.size()) {
    redis.prefix = prefix;
    rest = before;
  }
  if (rest.starts_with("redis+unix://")) {
    redis.unix_path = rest.substr(13);
    return redis.unix_path.starts_with('/') ? Result<RedisSettings>(redis) : wrong();
  }
  if (rest == "redis:" || rest == "redis") return redis;
  if (!rest.starts_with("redis://")) return wrong();
  rest.remove_prefix(8);
  if (const std::size_t at = rest.rfind('@'); at != std::string_view::npos) {
    const std::string_view credentials = rest.substr(0, at);
    const std::size_t colon = credentials.find(':');
    redis.password = credentials.substr(colon == std::string_view::npos ? 0 : colon + 1);
    rest.remove_prefix(at + 1);
  }
  const auto [authority, database] = split_once(rest, '/');
  if (!database.empty()) {
    const auto number = parse_integer<unsigned>(database);
    if (!number) return wrong();
    redis.database = *number;
  }
  const auto [host, port] = split_once(authority, ':');
  if (!host.empty()) redis.host = host;
  if (!port.empty()) {
    const auto number = parse_integer<std::uint16_t>(port);
    if (!number || *number == 0) return wrong();
    redis.port = *number;
  }
  return redis;
}

}  // namespace berth::proxy
