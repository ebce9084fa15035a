// SPDX-License-Identifier: Apache-2.0
// What the handlers of requests share, and one request on its way through them. Internal to this room: the
// front door is registry.h.
#pragma once
#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "http/server.h"
#include "registryd/access.h"
#include "registryd/api_error.h"
#include "registryd/catalog.h"
#include "registryd/event.h"
#include "registryd/fetches.h"
#include "registryd/garbage.h"
#include "registryd/manifest_cache.h"
#include "registryd/metrics.h"
#include "registryd/route.h"
#include "registryd/settings.h"
#include "registryd/storage.h"
#include "registryd/upload_table.h"
#include "registryd/upstream.h"
#include "registryd/vouched.h"

namespace berth::registryd {

inline constexpr std::size_t kCacheBytes = 4u << 20;

struct Service {
  explicit Service(Settings told)
      : settings(std::move(told)), cache(kCacheBytes), notifier(settings.notifications) {}

  const Settings settings;
  std::unique_ptr<Storage> storage;
  std::unique_ptr<Catalog> catalog;
  std::unique_ptr<Access> access;
  std::unique_ptr<UploadTable> uploads;
  std::unique_ptr<Upstream> upstream;  // null: not a proxy
  std::unique_ptr<Fetches> fetches;    // of a proxy; goes before what it uses
  ManifestCache cache;
  Metrics metrics;
  Vouched vouched;
  Notifier notifier;
  std::mutex garbage;  // one collection at a time
  std::function<std::size_t()> count_connections = [] { return std::size_t{0}; };
};

// One request and its answer.
class Call {
 public:
  Call(Service& shared, http::Exchange& from, Route parsed)
      : service(shared), exchange(from), route(std::move(parsed)) {}

  const http::Request& request() const noexcept { return exchange.request(); }
  std::string_view client() const noexcept;  // the peer's address without its port
  bool is(std::string_view method) const noexcept { return request().method == method; }
  bool is_read() const noexcept { return is("GET") || is("HEAD"); }
  // "/v2/<repository>/<rest>", with the host before it where the settings ask for that.
  std::string location(std::string_view rest) const;

  // The answer; a client that is gone by then is nobody's business.
  void respond(int status, http::Headers headers, std::string_view body = {});
  void begin(int status, http::Headers headers);  // then use `exchange`
  void refuse(const ApiError& error, http::Headers headers = {});
  void notify(std::string_view action, std::string_view digest, std::string_view media_type,
              std::int64_t size, std::string_view tag = {}, std::string_view from = {});

  Service& service;
  http::Exchange& exchange;
  Route route;
  Identity identity;
  bool may_mount = false;  // pull from the repository that ?from= names
  int status = 0;          // of the answer

 private:
  void add_common(http::Headers& headers) const;
};

// One handler an endpoint: it answers, or returns what is wrong.
ApiResult<void> serve_base(Call& call);
ApiResult<void> serve_catalog(Call& call);
ApiResult<void> serve_tags(Call& call);
ApiResult<void> serve_referrers(Call& call);
ApiResult<void> serve_manifest(Call& call);
ApiResult<void> serve_blob(Call& call);
ApiResult<void> serve_uploads(Call& call);
ApiResult<void> serve_upload(Call& call);

// The manifest that a tag or a digest names, from the cache or from below; an upstream is asked as long as
// the client of `exchange` waits.
ApiResult<CachedManifestPointer> load_manifest(Service& service, const http::Exchange& exchange,
                                               std::string_view repository, std::string_view reference);

// Paths outside /v2/: "/", "/ui/...", "/metrics", "/healthz". False when the path is none of them.
bool serve_page(Service& service, http::Exchange& exchange);

std::unexpected<ApiError> no_such_method(const Call& call);

}  // namespace berth::registryd
