// SPDX-License-Identifier: Apache-2.0
#include "engine/registry_options.h"

#include <cstdlib>

#include "base/json.h"
#include "base/text.h"
#include "engine/daemon_options.h"
#include "oci/reference.h"
#include "registry/endpoints.h"

namespace berth::engine {
namespace {

using Values = std::vector<std::string>;

Result<int> parse_parallel(const Values& values) {
  auto number = parse_integer<int>(values.back());
  if (!number || *number < 1 || *number > 64)
    return fail(ErrorKind::invalid, "'{}' is not a number from 1 to 64", values.back());
  return *number;
}

// A mirror that is none is found at the start, and not by the first pull.
Result<void> check_mirrors(const registry::Settings& settings) {
  oci::Reference any = TRY(oci::Reference::parse("docker.io/library/any"));
  TRY(registry::endpoints_of(any, settings));
  return {};
}

Result<void> check_proxy(const std::string& text) {
  const registry::Proxies probe{.http = text};
  TRY(registry::proxy_for("registry.example", false, probe));
  return {};
}

}  // namespace

Result<void> set_insecure_registries(DaemonOptions& options, const Values& values) {
  for (const std::string& value : values)
    if (value.empty() || value.find("://") != std::string::npos)
      return fail(ErrorKind::invalid,
                  "insecure registry '{}' must be a host, host:port or CIDR without a scheme", value);
  options.settings.registries.insecure = values;
  return {};
}

Result<void> set_registry_mirrors(DaemonOptions& options, const Values& values) {
  options.settings.registries.mirrors = values;
  return check_mirrors(options.settings.registries);
}

Result<void> set_registry_rules(DaemonOptions& options, const Values& values) {
  const json::value document = TRY(parse_json(values.back(), "registries"));
  if (!document.is_object())
    return fail(ErrorKind::invalid, "\"registries\" must hold an object: prefixes with what holds for them");
  std::vector<registry::HostRule> rules;
  for (const auto& [prefix, value] : document.get_object()) {
    registry::HostRule rule{.prefix = std::string(prefix)};
    ObjectReader in(value, "registries." + rule.prefix);
    in.read("location", rule.location);
    in.read("mirrors", rule.mirrors);
    in.read("insecure", rule.insecure);
    TRY(in.finish());
    while (rule.prefix.ends_with('/')) rule.prefix.pop_back();
    if (rule.prefix.empty() || rule.prefix.find("://") != std::string::npos)
      return fail(ErrorKind::invalid, "'{}' is no prefix of image names: host[:port][/path] is",
                  std::string_view(prefix));
    rules.push_back(std::move(rule));
  }
  options.settings.registries.rules = std::move(rules);
  return {};
}

Result<void> set_parallel_downloads(DaemonOptions& options, const Values& values) {
  options.settings.registries.parallel_downloads = TRY(parse_parallel(values));
  return {};
}

Result<void> set_parallel_uploads(DaemonOptions& options, const Values& values) {
  options.settings.registries.parallel_uploads = TRY(parse_parallel(values));
  return {};
}

Result<void> set_proxies(DaemonOptions& options, const Values& values) {
  const json::value document = TRY(parse_json(values.back(), "proxies"));
  registry::Proxies& proxies = options.settings.registries.proxies;
  ObjectReader in(document, "proxies");
  in.read("http-proxy", proxies.http);
  in.read("https-proxy", proxies.https);
  in.read("no-proxy", proxies.without);
  TRY(in.finish());
  TRY(check_proxy(proxies.http));
  return check_proxy(proxies.https);
}

Result<void> set_http_proxy(DaemonOptions& options, const Values& values) {
  options.settings.registries.proxies.http = values.back();
  return check_proxy(values.back());
}

Result<void> set_https_proxy(DaemonOptions& options, const Values& values) {
  options.settings.registries.proxies.https = values.back();
  return check_proxy(values.back());
}

Result<void> set_no_proxy(DaemonOptions& options, const Values& values) {
  options.settings.registries.proxies.without = values.back();
  return {};
}

void take_proxies_of_environment(registry::Proxies& proxies) {
  auto take = [](std::string& value, const char* upper, const char* lower) {
    if (!value.empty()) return;
    for (const char* name : {upper, lower})
      if (const char* found = getenv(name); found && *found) {
        value = found;
        return;
      }
  };
  take(proxies.http, "HTTP_PROXY", "http_proxy");
  take(proxies.https, "HTTPS_PROXY", "https_proxy");
  take(proxies.without, "NO_PROXY", "no_proxy");
}

}  // namespace berth::engine
