// SPDX-License-Identifier: Apache-2.0
#include "proxy/routes/route_json.h"

#include "base/json.h"

namespace berth::proxy {
namespace {

constexpr std::uint32_t kMostWeight = 1000;
constexpr std::size_t kMostBackends = 1000;

Result<Backend> read_backend(const json::value& value, std::size_t index, Endpoints& endpoints) {
  if (value.is_string()) return endpoints.backend(std::string_view(value.get_string()));
  ObjectReader in(value, fmt::format("backends[{}]", index));
  std::string url;
  std::uint32_t weight = 1;
  in.read("url", url);
  in.read("weight", weight);
  TRY(in.finish());
  if (weight > kMostWeight)
    return fail(ErrorKind::invalid, "backends[{}].weight is more than {}", index, kMostWeight);
  return endpoints.backend(url, weight);
}

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

}  // namespace

Result<RouteRef> route_from_json(std::string_view host, const json::value& document, Endpoints& endpoints) {
  auto route = std::make_shared<Route>();
  route->host = TRY(checked_host(host));
  ObjectReader in(document, "the route");
  in.read("id", route->id);
  TRY(read_options(in, route->options));
  const json::value* backends = in.find("backends");
  TRY(in.finish());
  if (!backends || !backends->is_array() || backends->get_array().empty())
    return fail(ErrorKind::invalid, "the route of {} has no backends: a list of addresses is wanted",
                route->host);
  if (backends->get_array().size() > kMostBackends)
    return fail(ErrorKind::invalid, "the route of {} has more than {} backends", route->host, kMostBackends);
  std::size_t index = 0;
  for (const json::value& one : backends->get_array())
    route->backends.push_back(TRY(read_backend(one, index++, endpoints)));
  return route;
}

Result<RouteRef> parse_route(std::string_view host, std::string_view text, Endpoints& endpoints) {
  const json::value document = TRY(parse_json(text, "the route"));
  return route_from_json(host, document, endpoints);
}

json::object route_to_json(const Route& route) {
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

json::object describe_route(const RouteBook::Found& found) {
  json::object document = route_to_json(*found.route);
  document["host"] = found.route->host;
  document["source"] = name_of(found.source);
  json::array backends;
  for (const Backend& backend : found.route->backends) {
    json::object one = backend_to_json(backend);
    one["alive"] = backend.endpoint->alive(clock_milliseconds());
    one["in_flight"] = backend.endpoint->in_flight.load();
    one["requests"] = backend.endpoint->requests.load();
    one["failures"] = backend.endpoint->failures.load();
    backends.push_back(std::move(one));
  }
  document["backends"] = std::move(backends);
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
