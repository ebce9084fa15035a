// SPDX-License-Identifier: Apache-2.0
// All routes of a moment.
#pragma once
#include <string_view>

#include "proxy/routes/route_map.h"

namespace berth::proxy {

struct RouteTable {
  RouteMap routes;

  // The exact host's, else that of "*.suffix" with the longest suffix (Hipache's way: of the last five labels
  // at most), else that of "*". Null when there is none. `host` is in lower case and has no port.
  const RouteRef* find(std::string_view host) const noexcept;
};

}  // namespace berth::proxy
