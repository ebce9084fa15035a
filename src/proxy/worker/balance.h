// SPDX-License-Identifier: Apache-2.0
// Which backend a request goes to.
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "proxy/routes/route.h"
#include "proxy/worker/random.h"

namespace berth::proxy {

struct Choosing {
  std::int64_t now = 0;
  bool canary = false;      // one of the new version, if the route has one
  std::uint64_t tried = 0;  // a bit for each backend, of the first 64, that this request failed at
  std::string_view sticky;  // the cookie's value
  std::string_view client;  // its address, for Balancing::hash
};

// Among those that are alive; when none is, among the dead, one of which may have come back: better a chance
// than none. Nothing when this request has tried all.
std::optional<std::size_t> choose_backend(const Route& route, const Choosing& choosing, Random& random);

// What the cookie of a sticky route says: no address, which is nobody's business.
std::string sticky_value(const Backend& backend);

}  // namespace berth::proxy
