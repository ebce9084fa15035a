// SPDX-License-Identifier: Apache-2.0
#include "base/log.h"
#include "registryd/service.h"

namespace berth::registryd {

std::string_view Call::client() const noexcept {
  std::string_view address = request().peer.address;
  return address.substr(0, address.rfind(':'));
}

std::string Call::location(std::string_view rest) const {
  const Settings& settings = service.settings;
  std::string path = fmt::format("/v2/{}/{}", route.repository, rest);
  if (settings.external_host.empty() || settings.relative_urls) return path;
  return settings.external_host + path;
}

void Call::add_common(http::Headers& headers) const {
  headers.add("Docker-Distribution-API-Version", "registry/2.0");
  headers.add("X-Content-Type-Options", "nosniff");
  for (const auto& [name, value] : service.settings.headers) headers.set(name, value);
}

void Call::respond(int code, http::Headers headers, std::string_view body) {
  status = code;
  add_common(headers);
  (void)exchange.respond(code, std::move(headers), body);
}

void Call::begin(int code, http::Headers headers) {
  status = code;
  add_common(headers);
  (void)exchange.begin(code, std::move(headers));
}

void Call::refuse(const ApiError& error, http::Headers headers) {
  headers.add("Content-Type", "application/json; charset=utf-8");
  if (error.code == Code::too_many_requests || error.code == Code::unavailable)
    headers.add("Retry-After", "5");
  respond(status_of(error.code), std::move(headers), body_of(error));
}

void Call::notify(std::string_view action, std::string_view digest, std::string_view media_type,
                  std::int64_t size, std::string_view tag, std::string_view from) {
  if (!service.notifier.active()) return;
  const http::Request& asked = request();
  const std::string kind = media_type == "application/octet-stream" ? "blobs/" : "manifests/";
  service.notifier.post({.action = std::string(action),
                         .repository = route.repository,
                         .digest = std::string(digest),
                         .media_type = std::string(media_type),
                         .tag = std::string(tag),
                         .from_repository = std::string(from),
                         .size = size,
                         .user = identity.user,
                         .address = asked.peer.address,
                         .method = asked.method,
                         .host = std::string(asked.headers.get_or("Host", "")),
                         .user_agent = std::string(asked.headers.get_or("User-Agent", "")),
                         .url = location(kind + std::string(digest))});
}

std::unexpected<ApiError> no_such_method(const Call& call) {
  return registryd::refuse(Code::unsupported,
                           fmt::format("{} is not possible here", call.request().method.substr(0, 32)));
}

}  // namespace berth::registryd
