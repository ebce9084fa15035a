// SPDX-License-Identifier: Apache-2.0
#include "registryd/dispatch.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"

namespace berth::registryd {
namespace {

ApiResult<void> handle(Call& call) {
  switch (call.route.endpoint) {
    case Endpoint::base:
      return serve_base(call);
    case Endpoint::catalog:
      return serve_catalog(call);
    case Endpoint::tags:
      return serve_tags(call);
    case Endpoint::referrers:
      return serve_referrers(call);
    case Endpoint::manifest:
      return serve_manifest(call);
    case Endpoint::blob:
      return serve_blob(call);
    case Endpoint::uploads:
      return serve_uploads(call);
    case Endpoint::upload:
      return serve_upload(call);
  }
  return no_such_method(call);
}

// Whether the request may be made. False: it was answered.
bool admit(Call& call) {
  std::vector<Permission> wanted = permissions_of(call.route, call.request().method);
  const auto from = call.request().query.get("from");
  const bool mounts = call.route.endpoint == Endpoint::uploads && call.request().query.has("mount") && from;
  std::vector<Permission> with_source = wanted;
  if (mounts) with_source.push_back({"repository", std::string(*from), "pull"});

  std::expected<Identity, Refusal> identity = call.service.access->authorize(call.request(), with_source);
  call.may_mount = mounts && identity;
  if (!identity && mounts) {
    // Who may push here but not pull there uploads the blob instead.
    if (auto without = call.service.access->authorize(call.request(), wanted)) identity = std::move(without);
  }
  if (identity) {
    call.identity = std::move(*identity);
    return true;
  }
  http::Headers headers;
  if (!identity.error().challenge.empty()) headers.add("WWW-Authenticate", identity.error().challenge);
  call.refuse(identity.error().error, std::move(headers));
  return false;
}

ApiResult<void> check_settings(const Call& call) {
  const Settings& settings = call.service.settings;
  if (call.is_read() || call.route.endpoint == Endpoint::base) return {};
  if (settings.proxy) return refuse(Code::unsupported, "this registry is a cache of another: push there");
  if (settings.read_only)
    return refuse(Code::unsupported, "this registry is read-only for now (storage.maintenance)");
  const bool deletes = call.is("DELETE") && call.route.endpoint != Endpoint::upload;
  if (deletes && !settings.allow_delete)
    return refuse(Code::unsupported, "deletion is off; set storage.delete.enabled to allow it");
  return {};
}

void log_access(const Call& call, std::chrono::nanoseconds duration) {
  if (!call.service.settings.access_log || !log_enabled(LogLevel::info)) return;
  const http::Request& request = call.request();
  log_info("access", "{} {} \"{} {}\" {} {:.3f}s \"{}\"", request.peer.address,
           call.identity.user.empty() ? "-" : call.identity.user, request.method, request.path, call.status,
           std::chrono::duration<double>(duration).count(), request.headers.get_or("User-Agent", "-"));
}

}  // namespace

std::vector<Permission> permissions_of(const Route& route, std::string_view method) {
  if (route.endpoint == Endpoint::base) return {};
  if (route.endpoint == Endpoint::catalog) return {{"registry", "catalog", "*"}};
  const bool upload = route.endpoint == Endpoint::uploads || route.endpoint == Endpoint::upload;
  if (method == "DELETE" && !upload) return {{"repository", route.repository, "delete"}};
  if ((method == "GET" || method == "HEAD") && !upload) return {{"repository", route.repository, "pull"}};
  return {{"repository", route.repository, "pull"}, {"repository", route.repository, "push"}};
}

void dispatch(Service& service, http::Exchange& exchange) {
  const auto begin = std::chrono::steady_clock::now();
  const std::string_view path = exchange.request().path;
  if (!path.starts_with("/v2") && serve_page(service, exchange)) return;
  ApiResult<Route> route = parse_route(path);
  Call call(service, exchange, route ? std::move(*route) : Route{});
  if (!route) {
    call.refuse(route.error());
  } else if (admit(call)) {
    ApiResult<void> done = check_settings(call);
    if (done) done = handle(call);
    if (!done && !exchange.responded()) call.refuse(done.error());
  }
  const auto duration = std::chrono::steady_clock::now() - begin;
  service.metrics.request_done(call.route.endpoint, call.status, duration);
  log_access(call, duration);
}

}  // namespace berth::registryd
