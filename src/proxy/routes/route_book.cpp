// SPDX-License-Identifier: Apache-2.0
#include "proxy/routes/route_book.h"

#include <algorithm>

namespace berth::proxy {

std::string_view name_of(Source source) noexcept {
  constexpr std::array<std::string_view, kSources> kNames{"admin", "file", "redis", "engine"};
  return kNames[static_cast<std::size_t>(source)];
}

namespace {

bool has_check(const Route& route) {
  return route.options.health ||
         (route.policy &&
          std::ranges::any_of(route.policy->paths, [](const RouteRef& one) { return has_check(*one); }));
}

}  // namespace

void RouteBook::apply(Source source, const std::vector<RouteChange>& changes) {
  if (changes.empty()) return;
  std::lock_guard lock(mutex_);
  RouteMap& own = sources_[static_cast<std::size_t>(source)];
  for (const RouteChange& change : changes) {
    own = change.route ? own.with(change.route) : own.without(change.host);
    settle(merged_, change.host);
  }
  published_.publish({merged_});
}

void RouteBook::replace(Source source, const std::vector<RouteRef>& routes) {
  RouteMap made;
  for (const RouteRef& route : routes) made = made.with(route);
  std::lock_guard lock(mutex_);
  const RouteMap before = std::exchange(sources_[static_cast<std::size_t>(source)], std::move(made));
  before.for_each([&](const RouteRef& route) {
    if (!sources_[static_cast<std::size_t>(source)].find(route->host)) settle(merged_, route->host);
  });
  for (const RouteRef& route : routes) settle(merged_, route->host);
  published_.publish({merged_});
}

RouteBook::Found* RouteBook::pick(std::string_view host, Found& found) const {
  for (std::size_t source = 0; source < kSources; ++source)
    if (const RouteRef* route = sources_[source].find(host)) {
      found = {*route, static_cast<Source>(source)};
      return &found;
    }
  return nullptr;
}

void RouteBook::settle(RouteMap& merged, const std::string& host) {
  Found found;
  const bool holds = pick(host, found) != nullptr;
  merged = holds ? merged.with(found.route) : merged.without(host);
  if (holds && has_check(*found.route))
    checked_.insert(host);
  else
    checked_.erase(host);
}

RouteRef RouteBook::get(Source source, std::string_view host) const {
  std::lock_guard lock(mutex_);
  const RouteRef* route = sources_[static_cast<std::size_t>(source)].find(host);
  return route ? *route : nullptr;
}

std::optional<RouteBook::Found> RouteBook::exact(std::string_view host) const {
  std::lock_guard lock(mutex_);
  Found found;
  return pick(host, found) ? std::optional(found) : std::nullopt;
}

std::optional<RouteBook::Found> RouteBook::find(std::string_view host) const {
  std::lock_guard lock(mutex_);
  const RouteTable table{merged_};
  const RouteRef* route = table.find(host);
  Found found;
  return route && pick((*route)->host, found) ? std::optional(found) : std::nullopt;
}

std::vector<RouteBook::Found> RouteBook::all() const {
  std::vector<Found> routes;
  {
    std::lock_guard lock(mutex_);
    routes.reserve(merged_.size());
    merged_.for_each([&](const RouteRef& route) {
      Found found;
      if (pick(route->host, found)) routes.push_back(found);
    });
  }
  std::ranges::sort(routes, {}, [](const Found& one) -> const std::string& { return one.route->host; });
  return routes;
}

RouteBook::Page RouteBook::page(const Wanted& wanted) const {
  const std::int64_t now = clock_milliseconds();
  const auto dead = [&](const Backend& backend) { return !backend.endpoint->alive(now); };
  const auto matches = [&](const Route& route) {
    return route.host.starts_with(wanted.prefix) && route.host.find(wanted.contains) != std::string::npos &&
           (!wanted.with_dead || std::ranges::any_of(route.backends, dead));
  };
  const auto by_host = [](const RouteRef& one, const RouteRef& other) { return one->host < other->host; };
  std::vector<RouteRef> first;  // a heap: the last of the page is in front
  Page page;
  std::lock_guard lock(mutex_);
  merged_.for_each([&](const RouteRef& route) {
    if (!matches(*route)) return;
    ++page.matching;
    if (route->host <= wanted.after) return;
    if (first.size() > wanted.limit && !by_host(route, first.front())) return;
    first.push_back(route);
    std::ranges::push_heap(first, by_host);
    if (first.size() <= wanted.limit + 1) return;
    std::ranges::pop_heap(first, by_host);
    first.pop_back();
  });
  page.all = merged_.size();
  std::ranges::sort_heap(first, by_host);
  page.more = first.size() > wanted.limit;
  if (page.more) first.pop_back();
  for (const RouteRef& route : first)
    if (Found found; pick(route->host, found)) page.routes.push_back(found);
  return page;
}

std::vector<RouteBook::Found> RouteBook::with_checks() const {
  std::lock_guard lock(mutex_);
  std::vector<Found> routes;
  for (const std::string& host : checked_) {
    Found found;
    if (pick(host, found)) routes.push_back(found);
  }
  return routes;
}

std::vector<RouteRef> RouteBook::all_of(Source source) const {
  std::lock_guard lock(mutex_);
  std::vector<RouteRef> routes;
  sources_[static_cast<std::size_t>(source)].for_each(
      [&](const RouteRef& route) { routes.push_back(route); });
  return routes;
}

std::size_t RouteBook::size() const {
  std::lock_guard lock(mutex_);
  return merged_.size();
}

}  // namespace berth::proxy
