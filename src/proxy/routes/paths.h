// SPDX-License-Identifier: Apache-2.0
// Which part of a host a request is for, where parts of its paths have routes of their own.
#pragma once
#include <string_view>

#include "proxy/routes/route.h"

namespace berth::proxy {

// The route with the longest path that `target`'s is at or below, else `route` itself. Null when that depends
// on who reads the path: with dots, doubled or encoded slashes and the like resolved it would be another
// route's, and a backend that resolves them would serve what this route does not guard.
const RouteRef* route_of_path(const RouteRef& route, std::string_view target);

// "/a/../%62;x//c?q" as the most obliging of servers reads it: "/b/c".
std::string resolved_path(std::string_view target);

// Percent signs decoded, once; what cannot be stays as it is.
std::string decoded_path(std::string_view path);

// "/api/", "/api": a path without a slash at its end; ErrorKind::invalid with the reason otherwise.
Result<std::string> checked_path(std::string_view path);

}  // namespace berth::proxy
