// SPDX-License-Identifier: Apache-2.0
#include "proxy/routes/route_json.h"

#include <span>

#include "base/json.h"
#include "proxy/routes/policy_json.h"

namespace berth::proxy {
namespace {

Result<Balancing> read_balancing(const std::string& name) {
  if (name.empty() || name == "random") return Balancing::random_of_two;
  if (name == "round-robin") return Balancing::round_robin;
  if (name == "hash") return Balancing::hash;
  return fail(ErrorKind::invalid, "balance is \"{}\"; it is random, round-robin or hash", name);
}

std::string_view name_of_balancing(Balancing balancing) {
  switch (balancing) {
    case Balancing::round_robin:
      return "round-robin";
    case Balancing::hash:
      return "hash";
    case Balancing::random_of_two:
      break;
  }
  return "random";
}

Result<void> read_options(ObjectReader& in, RouteOptions& options) {
  std::string balance;
  in.read("balance", balance);
  in.read("sticky", options.sticky);
  options.balancing = TRY(read_balancing(balance));
  std::shared_ptr<HealthCheck> health;
  in.read_object("health", [&](ObjectReader& check) {
    health = std::make_shared<HealthCheck>();
    std::uint32_t interval = 5000, timeout = 2000;
    check.read("path", health->path);
    check.read("interval_ms", interval);
    check.read("timeout_ms", timeout);
    if (!health->path.starts_with('/')) check.refuse("path", "a path");
    if (interval < 10) check.refuse("interval_ms", "10 or more");
    if (timeout < 1) check.refuse("timeout_ms", "1 or more");
    health->interval = std::chrono::milliseconds(interval);
    health->timeout = std::chrono::milliseconds(timeout);
  });
  options.health = std::move(health);
  return {};
}

json::object backend_to_json(const Backend& backend) {
  return {{"url", backend.url}, {"weight", backend.weight}};
}

json::array describe_backends(std::span<const Backend> backends) {
  json::array described;
  for (const Backend& backend : backends) {
    json::object one = backend_to_json(backend);
    one["alive"] = backend.endpoint->alive(clock_milliseconds());
    one["in_flight"] = backend.endpoint->in_flight.load();
    one["requests"] = backend.endpoint->requests.load();
    one["failures"] = backend.endpoint->failures.load();
    described.push_back(std::move(one));
  }
  return described;
}

}  // namespace

Result<RouteRef> route_of_path_from_json(const std::string& host, const std::string& path,
                                         const json::object& document, Endpoints& endpoints,
                                         Counting counting) {
  auto route = std::make_shared<Route>();
  route->host = host;
  route->path = path;
  const json::value whole(document);
  ObjectReader in(whole, "the route");
  in.read("id", route->id);
  TRY(read_options(in, route->options));
  const json::value* backends = in.find("backends");
  TRY(in.finish());
  if (backends) route->backends = TRY(read_backends(*backends, "backends", endpoints));
  TRY(read_policy(document, *route, endpoints, counting));
  const bool answers = route->policy && (!route->policy->paths.empty() || route->policy->maintenance);
  if (!backends && !answers)
    return fail(ErrorKind::invalid, "the route of {}{} has no backends: a list of addresses is wanted", host,
                path);
  return route;
}

Result<RouteRef> route_from_json(std::string_view host, const json::value& document, Endpoints& endpoints) {
  const std::string name = TRY(checked_host(host));
  if (!document.is_object()) return fail(ErrorKind::invalid, "the route of {} must be a JSON object", name);
  return route_of_path_from_json(name, "", document.get_object(), endpoints);
}

Result<RouteRef> parse_route(std::string_view host, std::string_view text, Endpoints& endpoints) {
  const json::value document = TRY(parse_json(text, "the route"));
  return route_from_json(host, document, endpoints);
}

json::object route_to_json(const Route& route) {
  if (route.policy) {
    if (Result<json::value> document = parse_json(route.policy->document, "the route"))
      return std::move(document->get_object());
  }
  json::array backends;
  for (const Backend& backend : route.backends) backends.push_back(backend_to_json(backend));
  json::object document{{"backends", std::move(backends)}};
  if (!route.id.empty()) document["id"] = route.id;
  if (route.options.balancing != Balancing::random_of_two)
    document["balance"] = name_of_balancing(route.options.balancing);
  if (route.options.sticky) document["sticky"] = true;
  if (const auto& health = route.options.health)
    document["health"] = {{"path", health->path},
                          {"interval_ms", health->interval.count()},
                          {"timeout_ms", health->timeout.count()}};
  return document;
}

std::string format_route(const Route& route) { return json::serialize(route_to_json(route)); }

json::object describe_route(const Route& route) {
  json::object document = without_secrets(route_to_json(route));
  document["host"] = route.host;
  if (!route.path.empty()) document["path"] = route.path;
  const std::span<const Backend> all(route.backends);
  const std::size_t ordinary = route.policy ? route.policy->first_canary.value_or(all.size()) : all.size();
  document["backends"] = describe_backends(all.first(ordinary));
  if (!route.policy) return document;
  if (ordinary < all.size())
    document["canary"].get_object()["backends"] = describe_backends(all.subspan(ordinary));
  if (const RouteRef& mirror = route.policy->mirror)
    document["mirror"].get_object()["backends"] = describe_backends(mirror->backends);
  json::object paths;
  for (const RouteRef& one : route.policy->paths) paths[one->path] = describe_route(*one);
  if (!paths.empty()) document["paths"] = std::move(paths);
  return document;
}

json::object describe_route(const RouteBook::Found& found) {
  json::object document = describe_route(*found.route);
  document["source"] = name_of(found.source);
  return document;
}

Result<std::vector<RouteRef>> parse_routes_file(std::string_view text, const std::string& name,
                                                Endpoints& endpoints) {
  const json::value document = TRY(parse_json(text, name));
  const json::object* object = document.if_object();
  const json::value* routes = object ? object->if_contains("routes") : nullptr;
  if (!routes || !routes->is_object())
    return fail(ErrorKind::invalid, "{}: \"routes\" must be an object of routes by host", name);
  std::vector<RouteRef> made;
  for (const json::key_value_pair& one : routes->get_object())
    made.push_back(TRY_AS(name, route_from_json(std::string_view(one.key()), one.value(), endpoints)));
  return made;
}

}  // namespace berth::proxy
