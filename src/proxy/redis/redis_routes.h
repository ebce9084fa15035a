// SPDX-License-Identifier: Apache-2.0
// Hipache's schema in Redis: "frontend:<host>" is a list of an id and the addresses of backends;
// "dead:<host>" a set of the indexes of dead ones with a time to live; deaths are published on the channel
// "dead".
#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "proxy/redis/resp.h"
#include "proxy/routes/route.h"

namespace berth::proxy {

// Hosts are looked up in lower case: a frontend of another is nobody's, as it was in Hipache.
bool is_looked_up(std::string_view host);

// From a frontend's list. Null when there is none, or when it has no backend (Hipache: 400). What cannot be
// read in it is told.
Result<RouteRef> route_from_frontend(std::string_view host, const RespValue& list, Endpoints& endpoints);

struct Death {
  std::string host, url;
};
// "host;url;index;length"
std::optional<Death> parse_death(std::string_view message);
std::string format_death(const Route& route, std::size_t backend);

}  // namespace berth::proxy
