// SPDX-License-Identifier: Apache-2.0
#include "proxy/admin/admin_api.h"

#include <openssl/crypto.h>

#include <chrono>

#include "base/json.h"
#include "base/text.h"
#include "proxy/admin/asked_from.h"
#include "proxy/admin/dashboard.h"
#include "proxy/admin/why.h"
#include "proxy/routes/route_json.h"

namespace berth::proxy {
namespace {

constexpr std::size_t kLargestRoute = 1u << 20;
constexpr std::size_t kLargestPage = 1000;
constexpr std::chrono::seconds kLongestWait{12};  // for names: a drain waits for who waits here
constexpr std::string_view kRoutes = "/v1/routes";

int status_of(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::invalid:
      return 400;
    case ErrorKind::unauthenticated:
      return 401;
    case ErrorKind::denied:
      return 403;
    case ErrorKind::not_found:
      return 404;
    case ErrorKind::unsupported:
      return 405;
    case ErrorKind::exhausted:
      return 507;
    default:
      return 500;
  }
}

Result<void> answer(http::Exchange& exchange, int status, const json::value& document) {
  return exchange.respond(status,
                          {{"Content-Type", "application/json"}, {"X-Content-Type-Options", "nosniff"}},
                          json::serialize(document) + "\n");
}

Result<RouteBook::Wanted> read_wanted(const http::Query& query) {
  RouteBook::Wanted wanted;
  for (const auto& [name, value] : query) {
    if (name == "prefix") {
      wanted.prefix = to_lower(value);
    } else if (name == "contains") {
      wanted.contains = to_lower(value);
    } else if (name == "after") {
      wanted.after = to_lower(value);
    } else if (name == "dead" && (value == "true" || value == "false")) {
      wanted.with_dead = value == "true";
    } else if (name == "limit") {
      const auto limit = parse_integer<std::size_t>(value);
      if (!limit || *limit < 1 || *limit > kLargestPage)
        return fail(ErrorKind::invalid, "limit is \"{}\"; it is between 1 and {}", value, kLargestPage);
      wanted.limit = *limit;
    } else {
      return fail(ErrorKind::invalid,
                  "\"{}={}\" says nothing about routes: limit, after, prefix, contains, dead=true", name,
                  value);
    }
  }
  return wanted;
}

std::unexpected<Error> no_route(std::string_view host) {
  return fail(ErrorKind::not_found, "there is no route for {}", host);
}

// Who says a name here is there to be told that it is none. Elsewhere it may come to be one later.
Result<void> check_names(const Route& route, Endpoints& endpoints,
                         std::chrono::steady_clock::time_point until) {
  for (const Backend& backend : route.backends) {
    endpoints.wait_for_name(*backend.endpoint, until);
    if (!backend.endpoint->has_address())
      return fail(ErrorKind::invalid, "the backend {} has no address: its name is not known", backend.url);
  }
  if (!route.policy) return {};
  if (route.policy->mirror) TRY(check_names(*route.policy->mirror, endpoints, until));
  for (const RouteRef& path : route.policy->paths) TRY(check_names(*path, endpoints, until));
  return {};
}

}  // namespace

Result<void> AdminApi::start(http::Listener listener) {
  std::vector<http::Listener> listeners;
  listeners.push_back(std::move(listener));
  return server_.start(std::move(listeners), [this](http::Exchange& exchange) { handle(exchange); });
}

void AdminApi::handle(http::Exchange& exchange) {
  const Result<void> done = dispatch(exchange);
  if (done || exchange.responded()) return;
  (void)answer(exchange, status_of(done.error().kind), json::object{{"message", done.error().message}});
}

// A token is more than a page that some browser shows can know, and a unix socket more than it can reach.
Result<void> AdminApi::check_allowed(const http::Request& request) const {
  if (!settings_.token.empty() || !settings_.unix_path.empty()) return {};
  return check_asked_from(request, settings_.address);
}

Result<void> AdminApi::check_token(const http::Request& request) const {
  if (settings_.token.empty()) return {};
  const std::string wanted = "Bearer " + settings_.token;
  const std::string_view given = request.headers.get_or("Authorization", "");
  if (given.size() == wanted.size() && CRYPTO_memcmp(given.data(), wanted.data(), wanted.size()) == 0)
    return {};
  return fail(ErrorKind::unauthenticated, "the token is missing or wrong: Authorization: Bearer ...");
}

Result<void> AdminApi::dispatch(http::Exchange& exchange) {
  const http::Request& request = exchange.request();
  const bool get = request.method == "GET";
  TRY(check_allowed(request));
  if (get && request.path == "/") return answer_dashboard(exchange);
  if (get && request.path == "/healthz")
    return exchange.respond(200, {{"Content-Type", "text/plain"}}, "ok\n");
  TRY(check_token(request));
  if (get && request.path == "/metrics")
    return exchange.respond(200, {{"Content-Type", "text/plain; version=0.0.4"}}, parts_.metrics());
  if (get && request.path == "/v1/why") return why(exchange);
  if (request.path == "/v1/engine") return engine(exchange);
  if (request.path == kRoutes) return routes(exchange);
  if (request.path.starts_with("/v1/routes/"))
    return route(exchange, std::string_view(request.path).substr(kRoutes.size() + 1));
  return fail(ErrorKind::not_found, "there is no {} {}", request.method, request.path);
}

Result<void> AdminApi::routes(http::Exchange& exchange) {
  if (exchange.request().method != "GET")
    return fail(ErrorKind::unsupported, "{} is for one route: {}/<host>", exchange.request().method, kRoutes);
  if (exchange.request().query.size() > 0) return page_of_routes(exchange);
  json::array all;
  for (const RouteBook::Found& found : parts_.book.all()) all.push_back(describe_route(found));
  return answer(exchange, 200, all);
}

Result<void> AdminApi::page_of_routes(http::Exchange& exchange) {
  const RouteBook::Wanted wanted = TRY(read_wanted(exchange.request().query));
  const RouteBook::Page page = parts_.book.page(wanted);
  json::array routes;
  for (const RouteBook::Found& found : page.routes) routes.push_back(describe_route(found));
  json::object document{{"routes", std::move(routes)}, {"matching", page.matching}, {"all", page.all}};
  if (page.more) document["next"] = page.routes.back().route->host;
  return answer(exchange, 200, document);
}

Result<void> AdminApi::route(http::Exchange& exchange, std::string_view path) {
  const std::optional<std::string> decoded = percent_decode(path, false);
  if (!decoded) return fail(ErrorKind::invalid, "\"{}\" is not percent-encoded text", path);
  const std::string host = TRY(checked_host(*decoded));
  const std::string& method = exchange.request().method;
  if (method == "PUT") return put_route(exchange, host);
  if (method == "DELETE") return delete_route(exchange, host);
  if (method != "GET") return fail(ErrorKind::unsupported, "routes know GET, PUT and DELETE, not {}", method);
  const std::optional<RouteBook::Found> found = parts_.book.exact(host);
  if (!found) return no_route(host);
  return answer(exchange, 200, describe_route(*found));
}

Result<void> AdminApi::put_route(http::Exchange& exchange, const std::string& host) {
  const std::string text = TRY(exchange.read_body_whole(kLargestRoute));
  RouteRef route = TRY(parse_route(host, text, parts_.endpoints));
  TRY(check_names(*route, parts_.endpoints, std::chrono::steady_clock::now() + kLongestWait));
  TRY(change({.host = host, .route = route}));
  return answer(exchange, 200, describe_route({route, Source::admin}));
}

Result<void> AdminApi::delete_route(http::Exchange& exchange, const std::string& host) {
  if (!parts_.book.get(Source::admin, host)) {
    if (const auto other = parts_.book.exact(host))
      return fail(ErrorKind::invalid, "the route for {} is not the admin API's: it comes from {}", host,
                  name_of(other->source));
    return no_route(host);
  }
  TRY(change({.host = host, .route = nullptr}));
  return exchange.respond(204, {}, "");
}

// First on disk: what was answered is never lost, and what could not be written does not hold.
Result<void> AdminApi::change(const RouteChange& change) {
  std::lock_guard lock(changes_);
  if (parts_.store) TRY_AS("keep the route", parts_.store->write(Source::admin, {change}));
  parts_.book.apply(Source::admin, {change});
  return {};
}

Result<void> AdminApi::engine(http::Exchange& exchange) {
  if (exchange.request().method == "PUT") {
    const std::string text = TRY(exchange.read_body_whole(kLargestRoute));
    const json::value document = TRY(parse_json(text, "the engine"));
    ObjectReader in(document, "the engine");
    std::string address;
    in.read("engine", address);
    TRY(in.finish());
    std::lock_guard lock(changes_);
    if (Result<void> followed = parts_.engine->follow(address); !followed)
      return fail(ErrorKind::invalid, "{}", followed.error().message);
  } else if (exchange.request().method != "GET") {
    return fail(ErrorKind::unsupported, "the engine knows GET and PUT, not {}", exchange.request().method);
  }
  return answer(exchange, 200, json::object{{"engine", parts_.engine->engine()}});
}

Result<void> AdminApi::why(http::Exchange& exchange) {
  return answer(exchange, 200, TRY(explain(parts_.book, exchange.request().query.get_or("url", ""))));
}

}  // namespace berth::proxy
