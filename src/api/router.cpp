// SPDX-License-Identifier: Apache-2.0
#include "api/router.h"

#include <span>

#include "base/text.h"

namespace berth::api {
namespace {

using Captured = std::map<std::string, std::string>;

bool is_capture(const std::string& part) { return part.size() > 2 && part.front() == '{'; }
bool is_greedy(const std::string& part) { return part.ends_with("...}"); }

std::string capture_name(const std::string& part) {
  return part.substr(1, part.size() - (is_greedy(part) ? 5 : 2));
}

bool match(std::span<const std::string> pattern, std::span<const std::string> path, Captured& captured) {
  if (pattern.empty()) return path.empty();
  if (path.empty()) return false;
  if (!is_capture(pattern[0]))
    return pattern[0] == path[0] && match(pattern.subspan(1), path.subspan(1), captured);
  if (!is_greedy(pattern[0])) {
    captured[capture_name(pattern[0])] = path[0];
    return match(pattern.subspan(1), path.subspan(1), captured);
  }
  // The longest run first: an image may be called "json".
  for (std::size_t taken = path.size(); taken > 0; --taken) {
    if (!match(pattern.subspan(1), path.subspan(taken), captured)) continue;
    captured[capture_name(pattern[0])] = join(path.first(taken), "/");
    return true;
  }
  return false;
}

std::vector<std::string> parts_of(std::string_view path) {
  std::vector<std::string> parts;
  for (std::string_view part : split(path, '/'))
    if (!part.empty()) parts.emplace_back(part);
  return parts;
}

}  // namespace

bool is_true(std::string_view text) {
  return text == "1" || text == "true" || text == "True" || text == "TRUE";
}

bool Call::flag(std::string_view name) const { return is_true(parameter(name)); }

void Router::add(std::string_view method, std::string_view pattern, Handler handler) {
  routes_.push_back({std::string(method), parts_of(pattern), std::move(handler)});
}

const Handler* Router::find(std::string_view method, std::string_view path, Captured& captured) const {
  std::vector<std::string> parts;
  for (std::string& part : parts_of(path)) {
    std::optional<std::string> decoded = percent_decode(part, false);
    if (!decoded) return nullptr;
    parts.push_back(std::move(*decoded));
  }
  for (const Route& route : routes_) {
    if (route.method != method && !(method == "HEAD" && route.method == "GET")) continue;
    Captured found;
    if (!match(route.pattern, parts, found)) continue;
    captured = std::move(found);
    return &route.handler;
  }
  return nullptr;
}

}  // namespace berth::api
