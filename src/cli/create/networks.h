// SPDX-License-Identifier: Apache-2.0
// --network and the options that go with it, as NetworkMode and EndpointsConfig.
#pragma once
#include <string>
#include <string_view>

#include "base/error.h"
#include "cli/flags/flags.h"

namespace boost::json {
class object;
}

namespace berth::cli {

// Fills `endpoints` and returns the network mode.
Result<std::string> add_networks(const Flags& flags, boost::json::object& endpoints);

Result<std::string> check_network(std::string_view text);  // for the flag's table: keeps the text

}  // namespace berth::cli
