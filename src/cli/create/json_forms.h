// SPDX-License-Identifier: Apache-2.0
// Forms that requests to the engine share, as Docker's client sends them.
#pragma once
#include <string>
#include <vector>

#include "base/json.h"

namespace berth::cli {

json::value list_or_null(const std::vector<std::string>& list);
json::object pairs(
    const std::vector<std::string>& list);  // "a=b" is a member; without '=' its value is empty

// "nofile=1024:2048", checked, as {"Name", "Soft", "Hard"}.
json::array ulimits(const std::vector<std::string>& list);

// An EndpointSettings in which nothing is asked for.
json::object empty_endpoint();

}  // namespace berth::cli
