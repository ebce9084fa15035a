// SPDX-License-Identifier: Apache-2.0
// What a route's document asks for beyond backends (docs/proxy.md has it in words):
//
//   "paths": {"/api": {...}, ...}, "strip_path": true,
//   "redirect_https": true | {"port": 8443},
//   "maintenance": true | {"page": "<html>...", "retry_after": 60, "except": ["10.0.0.0/8"]},
//   "allow": ["10.0.0.0/8"], "deny": [...],
//   "basic_auth": {"realm": "...", "users": {"alice": "$6$..."}},
//   "limits": {"requests_per_second": 10, "burst": 20, "by": "client" | "route", "concurrent": 100,
//              "body_bytes": 1000000},
//   "request_headers", "response_headers": {"set": {"Name": "value"}, "add": {...}, "remove": ["Name"]},
//   "canary": {"backends": [...], "percent": 5},
//   "mirror": {"backends": [...], "percent": 10},
//   "retries": {"attempts": 2, "budget_percent": 20},
//   "timeouts": {"connect_ms": 500, "answer_ms": 10000}
#pragma once
#include <string_view>

#include "proxy/routes/route.h"

namespace boost::json {
class object;
class value;
}  // namespace boost::json

namespace berth::proxy {

// What limits count: a path's own by itself, those that it has from its host together with the host's.
enum class Counting : std::uint8_t { by_itself, with_its_host };

// Into `route`, whose host, path and backends are there already; those of a canary come behind them. No
// policy is made where nothing is asked for.
Result<void> read_policy(const boost::json::object& document, Route& route, Endpoints& endpoints,
                         Counting counting);

// A list of addresses, or of {"url": ..., "weight": ...}.
Result<std::vector<Backend>> read_backends(const boost::json::value& list, std::string_view name,
                                           Endpoints& endpoints);

// What may be shown to whoever may see routes: without the hashes of passwords.
boost::json::object without_secrets(boost::json::object document);

}  // namespace berth::proxy
