// SPDX-License-Identifier: Apache-2.0
// Go's fmt.Sprintf over template values. Internal to this folder.
#pragma once
#include <span>
#include <string>

#include "cli/template/value.h"

namespace berth::cli {

std::string go_printf(std::string_view format, std::span<const Value> arguments);

}  // namespace berth::cli
