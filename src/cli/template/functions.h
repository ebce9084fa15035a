// SPDX-License-Identifier: Apache-2.0
// The functions that a template can call. Internal to this folder.
#pragma once
#include <span>

#include "cli/template/value.h"

namespace berth::cli {

// `and` and `or` are not here: they evaluate only what they need.
Result<Value> call_template_function(std::string_view name, std::span<const Value> arguments);

}  // namespace berth::cli
