// SPDX-License-Identifier: Apache-2.0
// Signals by their names.
#pragma once
#include <string_view>

#include "base/error.h"

namespace berth {

// "SIGTERM", "term", "15", "RTMIN+3"; Docker's error words for what is no signal.
Result<int> parse_signal(std::string_view text);

}  // namespace berth
