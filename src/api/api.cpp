// SPDX-License-Identifier: Apache-2.0
#include "api/api.h"

#include <chrono>

#include "api/respond.h"
#include "api/router.h"
#include "api/routes.h"
#include "base/log.h"
#include "base/text.h"

namespace berth::api {
Result<int> take_version(std::string_view& path) {
  if (path.size() < 4 || !path.starts_with("/v") || path[2] < '0' || path[2] > '9') return kNewestVersion;
  const std::size_t end = std::min(path.find('/', 1), path.size());
  std::string_view text = path.substr(2, end - 2);
  auto [major_text, minor_text] = split_once(text, '.');
  auto major = parse_integer<int>(major_text), minor = parse_integer<int>(minor_text);
  if (!major || !minor) return kNewestVersion;  // "/volumes" and the like
  if (*major > 1 || (*major == 1 && *minor > kNewestVersion))
    return fail(ErrorKind::invalid, "client version {} is too new. Maximum supported API version is 1.{}",
                text, kNewestVersion);
  if (*major < 1 || *minor < kOldestVersion)
    return fail(ErrorKind::invalid,
                "client version {} is too old. Minimum supported API version is 1.{}, please upgrade "
                "your client to a newer version",
                text, kOldestVersion);
  path.remove_prefix(end);
  return *minor;
}

namespace {

void answer(const Router& router, engine::Engine& engine, http::Exchange& exchange) {
  const http::Request& request = exchange.request();
  std::string_view path = request.path;
  Result<int> version = take_version(path);
  if (!version) return send_error(exchange, 400, version.error().message);
  Call call{exchange, engine, {}, *version};
  const Handler* handler = router.find(request.method, path, call.path);
  if (!handler) return send_error(exchange, 404, "page not found");
  Result<void> done = (*handler)(call);
  if (!done && !exchange.responded())
    send_error(exchange, status_of(done.error().kind), done.error().message);
  else if (!done)
    log_debug("api", "{} {}: {}", request.method, request.path, done.error().message);
}

}  // namespace

http::Handler make_handler(engine::Engine& engine) {
  auto router = std::make_shared<Router>();
  add_system_routes(*router);
  add_container_routes(*router);
  add_stream_routes(*router);
  add_exec_routes(*router);
  add_archive_routes(*router);
  add_image_routes(*router);
  add_volume_routes(*router);
  add_network_routes(*router);
  add_registry_routes(*router);
  add_build_result_routes(*router);
  add_build_routes(*router);
  add_unavailable_routes(*router);
  return [router, &engine](http::Exchange& exchange) {
    const auto start = std::chrono::steady_clock::now();
    answer(*router, engine, exchange);
    log_debug("api", "{} {} took {} us", exchange.request().method, exchange.request().path,
              std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() - start)
                  .count());
  };
}

}  // namespace berth::api
