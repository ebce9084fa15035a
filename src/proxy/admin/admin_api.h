// SPDX-License-Identifier: Apache-2.0
// The API that routes are changed and looked at by, on an address of this machine or a unix socket:
//
//   GET    /                     a page for people (dashboard.h), which asks for the rest
//   GET    /v1/routes            all that hold, by host
//   GET    /v1/routes?limit=&after=&prefix=&contains=&dead=   a part of them (docs/proxy.md)
//   GET    /v1/routes/<host>     one
//   PUT    /v1/routes/<host>     a document (routes/route_json.h); live on every worker, and durable where
//                                there is a store, when it is answered
//   DELETE /v1/routes/<host>
//   GET    /v1/why?url=<url>     where a request for it would go, and why
//   GET    /v1/engine            {"engine": "unix:///run/berth/berth.sock"}: whose containers are routed to
//   PUT    /v1/engine
//   GET    /metrics, /healthz
//
// Errors are {"message": "..."}. Without a token, a TCP socket answers this machine alone (asked_from.h).
#pragma once
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "http/server.h"
#include "proxy/engine_source.h"
#include "proxy/routes/route_book.h"
#include "proxy/routes/route_store.h"
#include "proxy/settings.h"

namespace berth::proxy {

class AdminApi {
 public:
  struct Parts {
    RouteBook& book;
    Endpoints& endpoints;
    RouteStore* store = nullptr;  // null: changes are not kept
    EngineSource* engine = nullptr;
    std::function<std::string()> metrics;
  };
  AdminApi(const AdminSettings& settings, Parts parts) : settings_(settings), parts_(std::move(parts)) {}

  Result<void> start(http::Listener listener);
  void stop() { server_.stop(); }

 private:
  void handle(http::Exchange& exchange);
  Result<void> dispatch(http::Exchange& exchange);
  Result<void> check_allowed(const http::Request& request) const;
  Result<void> check_token(const http::Request& request) const;
  Result<void> routes(http::Exchange& exchange);
  Result<void> page_of_routes(http::Exchange& exchange);
  Result<void> route(http::Exchange& exchange, std::string_view host);
  Result<void> put_route(http::Exchange& exchange, const std::string& host);
  Result<void> delete_route(http::Exchange& exchange, const std::string& host);
  Result<void> engine(http::Exchange& exchange);
  Result<void> why(http::Exchange& exchange);
  Result<void> change(const RouteChange& change);

  const AdminSettings& settings_;
  const Parts parts_;
  std::mutex changes_;  // one after another: store and table stay of one mind
  http::Server server_;
};

}  // namespace berth::proxy
