// SPDX-License-Identifier: Apache-2.0
// The options of `network create` and `network connect` as the bodies of POST /networks/create and
// POST /networks/{id}/connect: functions of the options and nothing else.
#pragma once
#include <string>

#include "base/error.h"
#include "cli/flags/flags.h"

namespace boost::json {
class object;
}

namespace berth::cli {

// Ranges, gateways and taken addresses go to the subnet that they lie in; one that lies in none is refused.
// A subnet that is none is the engine's to refuse, unless something has to be found in it.
Result<boost::json::object> make_network_request(const Flags& flags, const std::string& name);

Result<boost::json::object> make_connect_request(const Flags& flags, const std::string& container);

}  // namespace berth::cli
