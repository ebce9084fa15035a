// SPDX-License-Identifier: Apache-2.0
// The routes of all sources, and which of them holds where several have one for a host: the first in the
// order of Source. What a call has changed is live on every worker when it returns. Thread-safe.
#pragma once
#include <array>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/routes/publication.h"

namespace berth::proxy {

enum class Source : std::uint8_t { admin, file, redis, engine };
inline constexpr std::size_t kSources = 4;
std::string_view name_of(Source source) noexcept;

struct RouteChange {
  std::string host;
  RouteRef route;  // null: there is none any more
};

class RouteBook {
 public:
  explicit RouteBook(PublishedRoutes& published) : published_(published) {}

  void apply(Source source, const std::vector<RouteChange>& changes);
  void replace(Source source, const std::vector<RouteRef>& routes);  // all that the source has

  RouteRef get(Source source, std::string_view host) const;
  struct Found {
    RouteRef route;
    Source source = Source::admin;
  };
  std::optional<Found> exact(std::string_view host) const;  // that holds
  std::optional<Found> find(std::string_view host) const;   // wildcards too, as a request is routed
  std::vector<Found> all() const;                           // that hold, by host
  // A part of them, by host: what is behind `after`, as much as the limit says. Nothing else is sorted.
  struct Wanted {
    std::string prefix, contains, after;  // of the host; in lower case
    bool with_dead = false;               // alone those that have a dead backend
    std::size_t limit = 100;
  };
  struct Page {
    std::vector<Found> routes;
    std::size_t matching = 0, all = 0;  // on all pages; whether or not they match
    bool more = false;
  };
  Page page(const Wanted& wanted) const;
  std::vector<Found> with_checks() const;  // that hold, and have a health check
  std::vector<RouteRef> all_of(Source source) const;
  std::size_t size() const;

 private:
  Found* pick(std::string_view host, Found& found) const;
  void settle(RouteMap& merged, const std::string& host);

  PublishedRoutes& published_;
  mutable std::mutex mutex_;
  std::array<RouteMap, kSources> sources_;
  RouteMap merged_;
  std::set<std::string, std::less<>> checked_;  // hosts whose route that holds has a health check
};

}  // namespace berth::proxy
