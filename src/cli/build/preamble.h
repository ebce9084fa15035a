// SPDX-License-Identifier: Apache-2.0
// What a query cannot hold, or must not because queries are logged: secrets, and what this engine knows
// beyond Docker's POST /build. A body of the type "application/vnd.berth.build" begins with a line that is
// the size of a JSON document in decimal, and that document; the tar follows.
//
//   {"secrets": {"id": "<base64>"}, "noCacheStages": ["name"], "contexts": {"name": {"image": "reference"}}}
#pragma once
#include <string>

#include "base/error.h"
#include "cli/flags/flags.h"

namespace berth::cli {

inline constexpr std::string_view kBuildType = "application/vnd.berth.build";

// From --secret, --no-cache-filter and --build-context; "" when none of them is given.
Result<std::string> build_preamble(const Flags& flags);

}  // namespace berth::cli
