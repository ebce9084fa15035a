// SPDX-License-Identifier: Apache-2.0
#include "proxy/admin/why.h"

#include "base/json.h"
#include "base/text.h"
#include "proxy/routes/paths.h"
#include "proxy/routes/route_json.h"

namespace berth::proxy {
namespace {

struct Asked {
  std::string host, target;
  bool tls = false;
};

std::optional<Asked> parse_url(std::string_view url) {
  Asked asked;
  if (const std::size_t scheme = url.find("://"); scheme != std::string_view::npos) {
    asked.tls = url.substr(0, scheme) == "https";
    url.remove_prefix(scheme + 3);
  }
  const std::size_t path = std::min(url.find_first_of("/?#"), url.size());
  std::string_view host = url.substr(0, path);
  host = host.substr(0, host.starts_with('[') ? host.find(']') + 1 : host.find(':'));
  if (host.empty()) return std::nullopt;
  asked.host = to_lower(host);
  asked.target = url.substr(path, url.find('#') - path);
  if (!asked.target.starts_with('/')) asked.target.insert(0, "/");
  return asked;
}

std::string host_reason(const Route& route, const std::string& host) {
  if (route.host == host) return "the route is the host's own";
  return route.host == "*" ? "no route is more exact than the one for every host"
                           : "no route is more exact than the wildcard";
}

json::array conditions_of(const Route& route, bool tls) {
  json::array words;
  if (!route.policy) return words;
  const RoutePolicy& policy = *route.policy;
  const auto say = [&](std::string text) { words.emplace_back(std::move(text)); };
  if (!policy.denied.empty() || !policy.allowed.empty()) say("addresses that may not ask are answered 403");
  if (policy.redirect && !tls)
    say(fmt::format("it is sent to https, port {}, with a 308", policy.redirect->port));
  if (policy.maintenance) say("it is answered 503: maintenance");
  if (policy.limits.rate)
    say(fmt::format("{} requests a second {}, more are answered 429", policy.limits.rate->per_second,
                    policy.limits.rate->each_client ? "of each client" : "in all"));
  if (policy.limits.body > 0)
    say(fmt::format("bodies of more than {} bytes are answered 413", policy.limits.body));
  if (policy.authentication) say(fmt::format("a password is asked for: {}", policy.authentication->realm));
  if (policy.limits.concurrent > 0)
    say(fmt::format("{} requests at once, more are answered 503", policy.limits.concurrent));
  if (policy.strips_path && !route.path.empty()) say(fmt::format("{} is cut from the path", route.path));
  if (policy.first_canary) say(fmt::format("{} % go to the canary", policy.canary_percent));
  if (policy.mirror) say(fmt::format("{} % are copied to the mirror", policy.mirror_percent));
  if (route.backends.empty()) say("it is answered 404: the route has no backends for this path");
  return words;
}

}  // namespace

Result<json::object> explain(const RouteBook& book, std::string_view url) {
  const std::optional<Asked> asked = parse_url(url);
  if (!asked) return fail(ErrorKind::invalid, "url is missing: /v1/why?url=http://host/path");
  json::object document{{"host", asked->host}, {"target", asked->target}, {"route", nullptr}};
  const std::optional<RouteBook::Found> found = book.find(asked->host);
  if (!found) {
    document["because"] =
        "there is no route for the host, none for a wildcard above it, and none for every host";
    return document;
  }
  const RouteRef* const route = route_of_path(found->route, asked->target);
  if (!route) {
    document["because"] = "the path can be read in two ways, for which there are different routes";
    return document;
  }
  std::string because = host_reason(**route, asked->host);
  if (!(*route)->path.empty()) because += fmt::format(", and {} the longest of its paths", (*route)->path);
  document["route"] = describe_route(RouteBook::Found{*route, found->source});
  document["because"] = because;
  if (json::array conditions = conditions_of(**route, asked->tls); !conditions.empty())
    document["conditions"] = std::move(conditions);
  return document;
}

}  // namespace berth::proxy
