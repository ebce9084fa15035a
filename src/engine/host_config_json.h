// SPDX-License-Identifier: Apache-2.0
// HostConfig and its parts as JSON. Include in sources only: it brings Boost.JSON along.
#pragma once
#include "base/json.h"
#include "engine/host_config.h"

namespace berth::engine {

void read_host_config(ObjectReader& in, HostConfig& config);
void read_resource_limits(ObjectReader& in,
                          ResourceLimits& limits);  // the members of HostConfig that `update` takes
json::object to_json(const HostConfig& config);     // every member, as Docker sends it

}  // namespace berth::engine
