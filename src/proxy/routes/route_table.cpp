// SPDX-License-Identifier: Apache-2.0
#include "proxy/routes/route_table.h"

#include <algorithm>
#include <cstring>

namespace berth::proxy {
namespace {

constexpr std::size_t kMostLabels = 5;
constexpr std::size_t kLongestHost = 256;

// Where the last `kMostLabels` labels begin.
std::size_t start_of_suffixes(std::string_view host) noexcept {
  std::size_t at = host.size();
  for (std::size_t labels = 0; labels < kMostLabels && at > 0; ++labels) {
    const std::size_t dot = host.rfind('.', at - 1);
    if (dot == std::string_view::npos) return 0;
    at = dot;
  }
  return at;
}

}  // namespace

const RouteRef* RouteTable::find(std::string_view host) const noexcept {
  if (host.size() >= kLongestHost) return routes.find("*");
  if (const RouteRef* exact = routes.find(host)) return exact;
  char pattern[kLongestHost + 1];
  for (std::size_t dot = host.find('.', start_of_suffixes(host)); dot != std::string_view::npos;
       dot = host.find('.', dot + 1)) {
    const std::string_view suffix = host.substr(dot);
    pattern[0] = '*';
    std::memcpy(pattern + 1, suffix.data(), suffix.size());
    if (const RouteRef* found = routes.find({pattern, suffix.size() + 1})) return found;
  }
  return routes.find("*");
}

}  // namespace berth::proxy
