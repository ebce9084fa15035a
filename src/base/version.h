// SPDX-License-Identifier: Apache-2.0
// What this is a version of; the build passes the number on from its one place, the project() line.
#pragma once
#include <string_view>

namespace berth {

inline constexpr std::string_view kVersion = BERTH_VERSION;

}  // namespace berth
