// SPDX-License-Identifier: Apache-2.0
#include "proxy/routes/policy.h"

#include <algorithm>

namespace berth::proxy {

// To CGI and its like an underscore is a hyphen: whoever sends the other one is meant, too.
bool HeaderChanges::drops(std::string_view name) const noexcept {
  const auto same = [](char left, char right) {
    const auto plain = [](char c) {
      return c == '_' ? '-' : c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
    };
    return plain(left) == plain(right);
  };
  return std::ranges::any_of(dropped,
                             [&](const std::string& one) { return std::ranges::equal(one, name, same); });
}

}  // namespace berth::proxy
