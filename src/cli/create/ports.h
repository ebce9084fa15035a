// SPDX-License-Identifier: Apache-2.0
// -p and --expose: [[address:]host]:container[/protocol], with ranges on both sides, and
// target=,published=,protocol=,mode=.
#pragma once
#include <span>
#include <string>

#include "base/error.h"

namespace boost::json {
class object;
}

namespace berth::cli {

// Adds "80/tcp": {} to `exposed` and "80/tcp": [{HostIp, HostPort}, ...] to `bindings`.
Result<void> add_published_ports(std::span<const std::string> specifications, boost::json::object& exposed,
                                 boost::json::object& bindings);
Result<void> add_exposed_ports(std::span<const std::string> specifications, boost::json::object& exposed);

}  // namespace berth::cli
