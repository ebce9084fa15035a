// SPDX-License-Identifier: Apache-2.0
// A network's options (`network create -o`), read and checked.
#pragma once
#include <string>

#include "base/error.h"
#include "engine/network_record.h"

namespace berth::engine {

std::string network_option(const NetworkRecord& record, const std::string& name);  // "" when it is not given

// Written as Go's ParseBool takes it: "1", "t", "T", "true", "TRUE", "True", and likewise "false".
Result<bool> boolean_option(const NetworkRecord& record, const std::string& name, bool otherwise);

// Whether containers get a way out of it: not from an internal one, nor from a macvlan network on nothing.
bool has_way_out(const NetworkRecord& record);

}  // namespace berth::engine
