// SPDX-License-Identifier: Apache-2.0
// JSON laid out for people without parsing it: names, their order and the numbers stay as they were sent.
#pragma once
#include <string>
#include <string_view>

namespace berth::cli {

std::string indent_json(std::string_view compact, std::string_view step = "    ");

}  // namespace berth::cli
