// SPDX-License-Identifier: Apache-2.0
#include "proxy/routes/route.h"

#include <algorithm>

#include "base/text.h"

namespace berth::proxy {

Result<std::string> checked_host(std::string_view host) {
  std::string name = to_lower(host);
  if (name == "*") return name;
  const std::string_view plain = std::string_view(name).substr(name.starts_with("*.") ? 2 : 0);
  const bool address = plain.starts_with('[') && plain.ends_with(']') && plain.size() == name.size();
  const bool valid = !plain.empty() && name.size() <= 255 && std::ranges::all_of(plain, [&](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' ||
           (address && (c == ':' || c == '[' || c == ']'));
  });
  if (!valid)
    return fail(ErrorKind::invalid,
                "\"{}\" is no host name; it may begin with *. and \"*\" alone is every host", host);
  return name;
}

}  // namespace berth::proxy
