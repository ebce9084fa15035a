// SPDX-License-Identifier: Apache-2.0
// A route as a document, of the admin API and of the file of static routes:
//
//   {"id": "web", "backends": ["http://10.0.0.1:80", {"url": "http://10.0.0.2:80", "weight": 9}],
//    "balance": "random" | "round-robin" | "hash", "sticky": true,
//    "health": {"path": "/", "interval_ms": 5000, "timeout_ms": 2000},
//    ...}                                                              and what policy_json.h has
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "proxy/routes/policy_json.h"
#include "proxy/routes/route_book.h"

namespace boost::json {
class value;
class object;
}  // namespace boost::json

namespace berth::proxy {

Result<RouteRef> route_from_json(std::string_view host, const boost::json::value& document,
                                 Endpoints& endpoints);
// Of a part of a host's paths; an empty `path` is the host itself. Both were checked.
Result<RouteRef> route_of_path_from_json(const std::string& host, const std::string& path,
                                         const boost::json::object& document, Endpoints& endpoints,
                                         Counting counting = Counting::by_itself);
Result<RouteRef> parse_route(std::string_view host, std::string_view text, Endpoints& endpoints);

// As it was given; parse_route() reads it.
boost::json::object route_to_json(const Route& route);
std::string format_route(const Route& route);
// With what is known of it now, for people: "host", "source", and of each backend "alive", "in_flight", ...
boost::json::object describe_route(const Route& route);
boost::json::object describe_route(const RouteBook::Found& found);

// {"routes": {"<host>": {...}, ...}}
Result<std::vector<RouteRef>> parse_routes_file(std::string_view text, const std::string& name,
                                                Endpoints& endpoints);

}  // namespace berth::proxy
