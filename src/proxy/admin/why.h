// SPDX-License-Identifier: Apache-2.0
// Where a request for a URL would go, and why, in words.
#pragma once
#include <string_view>

#include "proxy/routes/route_book.h"

namespace boost::json {
class object;
}

namespace berth::proxy {

// {"host", "target", "route": the route's description or null, "because", "conditions": what stands before
// the backends}
Result<boost::json::object> explain(const RouteBook& book, std::string_view url);

}  // namespace berth::proxy
