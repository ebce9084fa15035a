// SPDX-License-Identifier: Apache-2.0
#include "proxy/admin/asked_from.h"

#include <fmt/format.h>

#include "base/text.h"

namespace berth::proxy {
namespace {

// Of "name:port" and "[::1]:port"; what is neither is its own name, which is nobody's.
std::string_view name_in(std::string_view host) {
  const std::size_t bracket = host.starts_with('[') ? host.find(']') : 0;
  if (bracket == std::string_view::npos) return host;
  const std::size_t colon = host.find(':', bracket);
  const bool port_follows = colon == std::string_view::npos || bracket == 0 || colon == bracket + 1;
  return port_follows ? host.substr(0, colon) : host;
}

bool is_here(std::string_view host, std::string_view address) {
  const std::string name = to_lower(name_in(host));
  if (name == "localhost" || name == "127.0.0.1" || name == "[::1]") return true;
  return !address.empty() && (name == address || name == fmt::format("[{}]", address));
}

bool changes(const http::Request& request) { return request.method != "GET" && request.method != "HEAD"; }

}  // namespace

Result<void> check_asked_from(const http::Request& request, std::string_view address) {
  for (const auto& [name, value] : request.headers) {
    if (http::equal_ignoring_case(name, "Host") && !is_here(value, address))
      return fail(
          ErrorKind::denied,
          "\"{}\" is no name of this machine's own: without a token the API is asked for as localhost "
          "or {}",
          value, address);
    if (!changes(request)) continue;
    // Another port of this machine is another origin, too: somebody else's page.
    const std::string own = fmt::format("http://{}", request.headers.get_or("Host", ""));
    if (http::equal_ignoring_case(name, "Origin") && !http::equal_ignoring_case(value, own))
      return fail(ErrorKind::denied, "a page of {} may not change routes here", value);
    if (http::equal_ignoring_case(name, "Sec-Fetch-Site") && value != "same-origin" && value != "none")
      return fail(ErrorKind::denied, "a page of another origin ({}) may not change routes here", value);
  }
  return {};
}

}  // namespace berth::proxy
