// SPDX-License-Identifier: Apache-2.0
#include "registryd/configuration.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <set>

#include "base/clock.h"
#include "base/text.h"

namespace berth::registryd {
namespace {

constexpr std::size_t kFileLimit = 1u << 20;
constexpr int kDepthLimit = 32;

// Keys that the CNCF registry has and that mean nothing here, and why.
struct Ignored {
  std::string_view path, reason;
};
constexpr Ignored kIgnored[] = {
    {"log.fields", "log lines have no fields"},
    {"log.hooks", "mail is not sent"},
    {"storage.cache", "the cache is built in"},
    {"storage.redirect", "blobs are sent from here"},
    {"storage.tag", "tags are read from the database"},
    {"storage.filesystem.maxthreads", "there is no such limit"},
    {"http.debug", "see /metrics and /healthz on the registry's own address"},
    {"http.http2", "HTTP/1.1 is spoken"},
    {"http.prefix", "the registry is at /v2/"},
    {"http.tls.letsencrypt", "give a certificate and a key"},
    {"http.tls.ciphersuites", "OpenSSL's own list is used"},
    {"proxy.ttl", "what was pulled stays until it is collected"},
    {"redis", "the cache is built in"},
    {"health", "see /healthz"},
    {"catalog", "see _catalog's own limits"},
    {"validation", "what a manifest refers to must be there"},
    {"policy", "there are no policies"},
    {"compatibility", "manifests of schema 1 are not supported"},
    {"middleware", "there is none"},
    {"reporting", "nothing is reported"},
    {"notifications.events", "references are not included"},
};

class Reader {
 public:
  Reader(YAML::Node root, std::string name, const Environment& environment,
         std::vector<std::string>& warnings)
      : root_(std::move(root)), name_(std::move(name)), environment_(environment), warnings_(warnings) {}

  std::optional<std::string> text(const std::string& path) {
    std::optional<std::string> given = environment_(variable_of(path));
    if (given) return given;
    YAML::Node node = find(path);
    if (!node.IsDefined() || node.IsNull()) return std::nullopt;
    if (!node.IsScalar()) {
      refuse(path, "a single value");
      return std::nullopt;
    }
    return node.Scalar();
  }
  void read(const std::string& path, std::string& out) {
    if (auto value = text(path)) out = std::move(*value);
  }
  void read(const std::string& path, bool& out) {
    auto value = text(path);
    if (!value) return;
    const std::string word = to_lower(*value);
    if (word == "true" || word == "yes" || word == "on")
      out = true;
    else if (word == "false" || word == "no" || word == "off")
      out = false;
    else
      refuse(path, "true or false");
  }
  template <class Duration>
  void read_duration(const std::string& path, Duration& out) {
    auto value = text(path);
    if (!value) return;
    Result<std::chrono::nanoseconds> parsed = parse_duration(*value);
    if (!parsed || parsed->count() < 0) return refuse(path, "a duration such as 10s or 24h");
    out = std::chrono::duration_cast<Duration>(*parsed);
  }
  bool has(const std::string& path) {
    YAML::Node node = find(path);
    return node.IsDefined() && !node.IsNull();
  }
  YAML::Node find(const std::string& path) {
    known_.insert(path);
    return descend(root_, path);
  }
  void refuse(const std::string& path, std::string_view wanted) {
    if (!error_) error_ = Error{ErrorKind::invalid, 0, fmt::format("{}: {} must be {}", name_, path, wanted)};
  }
  void refuse_whole(std::string message) {
    if (!error_) error_ = Error{ErrorKind::invalid, 0, fmt::format("{}: {}", name_, message)};
  }
  void warn(std::string text) { warnings_.push_back(fmt::format("{}: {}", name_, text)); }
  Result<void> finish() {
    if (error_) return std::unexpected(*error_);
    look_for_unknown(root_, "", 0);
    if (error_) return std::unexpected(*error_);
    return {};
  }

 private:
  // Through constant nodes alone: asking any other for a key adds it.
  static YAML::Node descend(const YAML::Node& node, std::string_view path) {
    if (!node.IsDefined() || !node.IsMap()) return YAML::Node(YAML::NodeType::Undefined);
    auto [part, rest] = split_once(path, '.');
    const YAML::Node child = node[std::string(part)];
    return rest.empty() || !child.IsDefined() ? child : descend(child, rest);
  }
  static std::string variable_of(const std::string& path) {
    std::string name = "REGISTRY_" + to_upper(path);
    std::ranges::replace(name, '.', '_');
    return name;
  }
  // A key is known when it, something below it, or all of something above it was asked for.
  void look_for_unknown(const YAML::Node& node, const std::string& prefix, int depth) {
    if (depth > kDepthLimit) return refuse_whole("it is nested too deeply");
    for (const auto& entry : node) {
      if (!entry.first.IsScalar()) continue;
      const std::string path = prefix.empty() ? entry.first.Scalar() : prefix + "." + entry.first.Scalar();
      auto ignored = std::ranges::find(kIgnored, path, &Ignored::path);
      if (ignored != std::end(kIgnored)) {
        warn(fmt::format("{} has no effect here: {}", path, ignored->reason));
        continue;
      }
      const bool leads_on =
          std::ranges::any_of(known_, [&](const std::string& key) { return key.starts_with(path + "."); }) ||
          std::ranges::any_of(kIgnored, [&](const Ignored& key) { return key.path.starts_with(path + "."); });
      if (leads_on && entry.second.IsMap())
        look_for_unknown(entry.second, path, depth + 1);
      else if (leads_on && !entry.second.IsNull() && !known_.contains(path))
        refuse(path, "a map of keys");
      else if (!known_.contains(path) && !leads_on)
        warn(fmt::format("{} is not a key that this registry knows; it has no effect", path));
    }
  }

  YAML::Node root_;
  std::string name_;
  const Environment& environment_;
  std::vector<std::string>& warnings_;
  std::set<std::string> known_;
  std::optional<Error> error_;
};

void read_log(Reader& in, Settings& settings) {
  std::string level = "info", formatter = "text";
  in.read("loglevel", level);
  in.read("log.level", level);
  level = to_lower(level);
  if (level == "error" || level == "fatal" || level == "panic")
    settings.log_level = LogLevel::error;
  else if (level == "warn" || level == "warning")
    settings.log_level = LogLevel::warning;
  else if (level == "debug" || level == "trace")
    settings.log_level = LogLevel::debug;
  else if (level != "info")
    in.refuse("log.level", "error, warn, info or debug");
  in.read("log.formatter", formatter);
  if (formatter != "text")
    in.warn(fmt::format("log.formatter {} is not known here: lines are text", formatter));
  bool off = false;
  in.read("log.accesslog.disabled", off);
  settings.access_log = !off;
}

void read_storage(Reader& in, Settings& settings) {
  for (const char* driver : {"inmemory", "s3", "azure", "gcs", "swift", "oss"})
    if (in.has(std::string("storage.") + driver))
      in.refuse_whole(
          fmt::format("storage.{} is not a storage that this registry has; use storage.filesystem", driver));
  in.read("storage.filesystem.rootdirectory", settings.root_directory);
  if (settings.root_directory.empty()) settings.root_directory = "/var/lib/registry";
  in.read("storage.delete.enabled", settings.allow_delete);
  in.read("storage.maintenance.readonly.enabled", settings.read_only);
  in.read("storage.maintenance.uploadpurging.enabled", settings.purge_uploads);
  in.read_duration("storage.maintenance.uploadpurging.age", settings.purge_age);
  in.read_duration("storage.maintenance.uploadpurging.interval", settings.purge_interval);
  in.read("storage.maintenance.uploadpurging.dryrun", settings.purge_dry_run);
  settings.purge_interval = std::max(settings.purge_interval, std::chrono::seconds(60));
}

void read_headers(Reader& in, const std::string& path, const YAML::Node& node,
                  std::vector<std::pair<std::string, std::string>>& out) {
  if (!node.IsDefined() || node.IsNull()) return;
  if (!node.IsMap()) return in.refuse(path, "a map of header names to lists of values");
  for (const auto& entry : node) {
    std::string joined;
    if (entry.second.IsScalar())
      joined = entry.second.Scalar();
    else if (!entry.second.IsSequence())
      return in.refuse(path, "a map of header names to lists of values");
    else
      for (const auto& value : entry.second) joined += (joined.empty() ? "" : ", ") + value.as<std::string>();
    out.emplace_back(entry.first.as<std::string>(), std::move(joined));
  }
}

void read_tls(Reader& in, Settings& settings) {
  if (!in.has("http.tls") && !in.text("http.tls.certificate")) return;
  TlsSettings tls;
  in.read("http.tls.certificate", tls.certificate);
  in.read("http.tls.key", tls.key);
  if (YAML::Node list = in.find("http.tls.clientcas"); list.IsDefined() && !list.IsNull()) {
    if (!list.IsSequence())
      in.refuse("http.tls.clientcas", "a list of files");
    else
      for (const auto& item : list) tls.client_authorities.push_back(item.as<std::string>());
  }
  std::string minimum = "tls1.2";
  in.read("http.tls.minimumtls", minimum);
  if (minimum == "tls1.3")
    tls.only_tls13 = true;
  else if (minimum == "tls1.0" || minimum == "tls1.1")
    in.warn(fmt::format("http.tls.minimumtls {}: TLS 1.2 is the least that is spoken", minimum));
  else if (minimum != "tls1.2")
    in.refuse("http.tls.minimumtls", "tls1.2 or tls1.3");
  if (tls.certificate.empty() && tls.key.empty()) return;
  if (tls.certificate.empty() || tls.key.empty()) in.refuse("http.tls", "both a certificate and a key");
  settings.tls = std::move(tls);
}

void read_http(Reader& in, Settings& settings) {
  in.read("http.addr", settings.address);
  in.read("http.net", settings.network);
  if (settings.network != "tcp" && settings.network != "unix") in.refuse("http.net", "tcp or unix");
  in.read("http.host", settings.external_host);
  while (settings.external_host.ends_with('/')) settings.external_host.pop_back();
  if (!settings.external_host.empty() && !settings.external_host.starts_with("http://") &&
      !settings.external_host.starts_with("https://"))
    in.refuse("http.host", "a URL such as https://registry.example.com");
  in.read("http.relativeurls", settings.relative_urls);
  (void)in.find(
      "http.secret");  // it signs the CNCF registry's upload state, which is not sent to clients here
  in.read_duration("http.draintimeout", settings.drain_timeout);
  settings.drain_timeout = std::max(settings.drain_timeout, std::chrono::seconds(1));
  read_headers(in, "http.headers", in.find("http.headers"), settings.headers);
  read_tls(in, settings);
}

void read_auth(Reader& in, Settings& settings) {
  if (in.has("auth.silly"))
    in.refuse_whole("auth.silly is not an authentication; use auth.htpasswd or auth.token");
  if (in.has("auth.htpasswd") || in.text("auth.htpasswd.path")) {
    HtpasswdSettings htpasswd{.realm = "registry", .path = {}};
    in.read("auth.htpasswd.realm", htpasswd.realm);
    in.read("auth.htpasswd.path", htpasswd.path);
    if (htpasswd.path.empty()) in.refuse("auth.htpasswd.path", "the path of an htpasswd file");
    settings.htpasswd = std::move(htpasswd);
  }
  if (in.has("auth.token") || in.text("auth.token.realm")) {
    TokenSettings token;
    in.read("auth.token.realm", token.realm);
    in.read("auth.token.service", token.service);
    in.read("auth.token.issuer", token.issuer);
    in.read("auth.token.rootcertbundle", token.certificates);
    for (const char* other : {"autoredirect", "autoredirectpath", "signingalgorithms", "jwks"})
      if (in.has(std::string("auth.token.") + other))
        in.warn(fmt::format("auth.token.{} has no effect here", other));
    if (token.realm.empty() || token.service.empty() || token.issuer.empty() || token.certificates.empty())
      in.refuse("auth.token", "complete: realm, service, issuer and rootcertbundle");
    settings.token = std::move(token);
  }
  if (settings.htpasswd && settings.token) in.refuse("auth", "one kind: htpasswd or token");
  for (auto* quoted : {settings.htpasswd ? &settings.htpasswd->realm : nullptr,
                       settings.token ? &settings.token->realm : nullptr,
                       settings.token ? &settings.token->service : nullptr})
    if (quoted && quoted->find_first_of("\"\\\r\n") != std::string::npos)
      in.refuse("auth", "without quotes, backslashes and line breaks in realm and service");
}

void read_proxy(Reader& in, Settings& settings) {
  ProxySettings proxy;
  in.read("proxy.remoteurl", proxy.remote_url);
  in.read("proxy.username", proxy.username);
  in.read("proxy.password", proxy.password);
  if (!proxy.remote_url.empty()) settings.proxy = std::move(proxy);
}

// A list's entries have no names in the environment, and are read as nodes.
std::string word_of(Reader& in, const std::string& path, const YAML::Node& item, const std::string& key) {
  const YAML::Node node = item[key];
  if (!node.IsDefined() || node.IsNull()) return "";
  if (node.IsScalar()) return node.Scalar();
  in.refuse(path + "." + key, "a single value");
  return "";
}

void look_at_endpoint_keys(Reader& in, const std::string& path, const YAML::Node& item) {
  constexpr std::string_view kKnown[] = {"name",    "url",       "headers", "timeout",
                                         "backoff", "threshold", "disabled"};
  for (const auto& entry : item) {
    const std::string key = entry.first.IsScalar() ? entry.first.Scalar() : "";
    if (key == "ignoredmediatypes" || key == "ignore")
      in.warn(fmt::format("{}.{} has no effect here: every event is sent", path, key));
    else if (std::ranges::find(kKnown, key) == std::end(kKnown))
      in.warn(fmt::format("{}.{} is not a key that this registry knows; it has no effect", path, key));
  }
}

void read_notifications(Reader& in, Settings& settings) {
  YAML::Node list = in.find("notifications.endpoints");
  if (!list.IsDefined() || list.IsNull()) return;
  if (!list.IsSequence()) return in.refuse("notifications.endpoints", "a list");
  std::size_t index = 0;
  for (const auto& entry : list) {
    const YAML::Node item = entry;  // asking another kind of it for a key adds it
    const std::string path = fmt::format("notifications.endpoints[{}]", index++);
    if (!item.IsMap()) return in.refuse(path, "a map of keys");
    look_at_endpoint_keys(in, path, item);
    NotificationEndpoint endpoint;
    const std::string disabled = to_lower(word_of(in, path, item, "disabled"));
    if (disabled == "true" || disabled == "yes" || disabled == "on") continue;
    if (!disabled.empty() && disabled != "false" && disabled != "no" && disabled != "off")
      return in.refuse(path + ".disabled", "true or false");
    endpoint.name = word_of(in, path, item, "name");
    endpoint.url = word_of(in, path, item, "url");
    if (!endpoint.url.starts_with("http://") && !endpoint.url.starts_with("https://"))
      return in.refuse(path + ".url", "a URL of http or https");
    if (endpoint.name.empty()) endpoint.name = endpoint.url;
    read_headers(in, path + ".headers", item["headers"], endpoint.headers);
    for (auto [key, out] :
         {std::pair("timeout", &endpoint.timeout), std::pair("backoff", &endpoint.backoff)}) {
      const std::string word = word_of(in, path, item, key);
      if (word.empty()) continue;
      Result<std::chrono::nanoseconds> parsed = parse_duration(word);
      if (!parsed || parsed->count() <= 0) return in.refuse(path + "." + key, "a duration such as 1s");
      *out = std::chrono::duration_cast<std::chrono::milliseconds>(*parsed);
    }
    if (const std::string word = word_of(in, path, item, "threshold"); !word.empty()) {
      const std::optional<int> threshold = parse_integer<int>(word);
      if (!threshold || *threshold < 0) return in.refuse(path + ".threshold", "a number");
      endpoint.threshold = std::max(1, *threshold);
    }
    settings.notifications.push_back(std::move(endpoint));
  }
}

Result<Configuration> read_all(const YAML::Node& root, const std::string& name,
                               const Environment& environment) {
  if (!root.IsMap())
    return fail(ErrorKind::invalid, "{}: it is not a map of keys, as a registry's configuration is", name);
  Configuration made;
  Reader in(root, name, environment, made.warnings);
  std::string version;
  in.read("version", version);
  if (version != "0.1" && version != "0.2")
    in.refuse_whole(version.empty() ? "the version is missing; write: version: 0.1"
                                    : fmt::format("version {} is not known; write: version: 0.1", version));
  read_log(in, made.settings);
  read_storage(in, made.settings);
  read_http(in, made.settings);
  read_auth(in, made.settings);
  read_proxy(in, made.settings);
  read_notifications(in, made.settings);
  TRY(in.finish());
  return made;
}

}  // namespace

Result<Configuration> parse_configuration(std::string_view text, const std::string& name,
                                          const Environment& environment) {
  if (text.size() > kFileLimit)
    return fail(ErrorKind::invalid, "{}: it has more than {} bytes", name, kFileLimit);
  try {
    return read_all(YAML::Load(std::string(text)), name, environment);
  } catch (const YAML::Exception& exception) {
    return fail(ErrorKind::invalid, "{}:{}: {}", name, exception.mark.line + 1, exception.msg);
  }
}

}  // namespace berth::registryd
