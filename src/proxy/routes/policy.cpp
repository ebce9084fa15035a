// SPDX-License-Identifier: Apache-2.0
#include "proxy/routes/policy.h"

#include <algorithm>

#include "http/message.h"

namespace berth::proxy {

bool HeaderChanges::drops(std::string_view name) const noexcept {
  return std::ranges::any_of(dropped,
                             [&](const std::string& one) { return http::equal_ignoring_case(one, name); });
}

}  // namespace berth::proxy
