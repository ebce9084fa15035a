// SPDX-License-Identifier: Apache-2.0
#include "proxy/routes/paths.h"

#include <algorithm>

#include "base/text.h"
#include "http/message.h"

namespace berth::proxy {
namespace {

using http::equal_ignoring_case;

std::string_view path_of(std::string_view target) noexcept {
  return target.substr(0, target.find_first_of("?#"));
}

// Whether there is one way alone to read it.
bool is_plain(std::string_view path) noexcept {
  if (path.find_first_of("%\\;") != std::string_view::npos) return false;
  for (std::size_t slash = path.find('/'); slash != std::string_view::npos;) {
    const std::size_t next = path.find('/', slash + 1);
    const std::string_view part =
        path.substr(slash + 1, next == std::string_view::npos ? next : next - slash - 1);
    if (part == "." || part == ".." || (part.empty() && next != std::string_view::npos)) return false;
    slash = next;
  }
  return true;
}

const RouteRef* longest(const RouteRef& route, std::string_view path) noexcept {
  for (const RouteRef& one : route->policy->paths)
    if (path.starts_with(one->path) && (path.size() == one->path.size() || path[one->path.size()] == '/'))
      return &one;
  return &route;
}

// As a backend reads it to which /Admin is /admin.
const RouteRef* longest_in_any_case(const RouteRef& route, std::string_view path) noexcept {
  for (const RouteRef& one : route->policy->paths)
    if (equal_ignoring_case(path.substr(0, one->path.size()), one->path) &&
        (path.size() == one->path.size() || path[one->path.size()] == '/'))
      return &one;
  return &route;
}

// Whether something reads a step upwards in it. Which of its parts that takes away depends on who reads, and
// so whether it leads into a route's path.
bool may_go_up(std::string_view path) {
  std::string text(path);
  std::ranges::replace(text, '\\', '/');
  for (const std::string_view part : split(text, '/'))
    if (part.substr(0, part.find_first_of(";?#")) == "..") return true;
  return false;
}

}  // namespace

std::string decoded_path(std::string_view path) {
  std::string text;
  while (!path.empty()) {
    const std::size_t length = path.front() == '%' && path.size() > 2 ? 3 : 1;
    const std::optional<std::string> one = percent_decode(path.substr(0, length), false);
    text += one ? *one : std::string(path.substr(0, length));
    path.remove_prefix(length);
  }
  return text;
}

std::string resolved_path(std::string_view target) {
  std::string text = decoded_path(path_of(target));
  std::ranges::replace(text, '\\', '/');
  std::vector<std::string_view> parts;
  for (std::string_view part : split(text, '/')) {
    part = part.substr(0, part.find_first_of(";?#"));
    if (part == ".." && !parts.empty()) parts.pop_back();
    if (!part.empty() && part != "." && part != "..") parts.push_back(part);
  }
  std::string path;
  for (const std::string_view part : parts) path.append("/").append(part);
  return path.empty() ? "/" : path;
}

const RouteRef* route_of_path(const RouteRef& route, std::string_view target) {
  if (!route->policy || route->policy->paths.empty()) return &route;
  const std::string_view path = path_of(target);
  const RouteRef* const found = longest(route, path);
  if (longest_in_any_case(route, path) != found) return nullptr;
  if (is_plain(path)) return found;
  const std::string decoded = decoded_path(path), resolved = resolved_path(path);
  if (may_go_up(path) || may_go_up(decoded)) return nullptr;
  const bool agreed = longest_in_any_case(route, decoded) == found &&
                      longest_in_any_case(route, resolved) == found &&
                      decoded.find('\0') == std::string::npos;
  return agreed ? found : nullptr;
}

Result<std::string> checked_path(std::string_view path) {
  std::string plain(path);
  while (plain.ends_with('/')) plain.pop_back();
  const bool readable =
      std::ranges::all_of(plain, [](char c) { return c > ' ' && c < 0x7f && c != '?' && c != '#'; });
  if (!plain.starts_with('/') || !readable || !is_plain(plain))
    return fail(ErrorKind::invalid, "\"{}\" is no path as it is wanted here: /one/two", path);
  return plain;
}

}  // namespace berth::proxy
