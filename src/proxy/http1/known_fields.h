// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <string_view>

#include "proxy/http1/head.h"

namespace berth::proxy {

// Without regard to case.
KnownField known_field(std::string_view name) noexcept;

}  // namespace berth::proxy
