// SPDX-License-Identifier: Apache-2.0
#include "proxy/redis/redis_routes.h"

#include "base/log.h"
#include "base/text.h"

namespace berth::proxy {

bool is_looked_up(std::string_view host) {
  const Result<std::string> checked = checked_host(host);
  return checked && *checked == host;
}

// A backend that cannot be read is left out and told of; the others serve.
Result<RouteRef> route_from_frontend(std::string_view host, const RespValue& list, Endpoints& endpoints) {
  if (list.type == RespValue::Type::error)
    return fail(ErrorKind::invalid, "the frontend {}: {}", host, list.text);
  if (list.items.size() < 2) return RouteRef();
  auto route = std::make_shared<Route>();
  route->host = TRY(checked_host(host));
  route->id = list.items.front().text;
  for (std::size_t at = 1; at < list.items.size(); ++at) {
    Result<Backend> backend = endpoints.backend(list.items[at].text);
    if (backend)
      route->backends.push_back(std::move(*backend));
    else
      log_warning("proxy", "the frontend {}: {}", host, backend.error().message);
  }
  return route->backends.empty() ? RouteRef() : RouteRef(std::move(route));
}

std::optional<Death> parse_death(std::string_view message) {
  const std::vector<std::string_view> parts = split(message, ';');
  if (parts.size() < 2) return std::nullopt;
  return Death{std::string(parts[0]), std::string(parts[1])};
}

std::string format_death(const Route& route, std::size_t backend) {
  return fmt::format("{};{};{};{}", route.host, route.backends[backend].url, backend, route.backends.size());
}

}  // namespace berth::proxy
