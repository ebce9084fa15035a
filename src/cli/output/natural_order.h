// SPDX-License-Identifier: Apache-2.0
// The order of names in tables: "net2" before "net10".
#pragma once
#include <string_view>

namespace berth::cli {

// Digits in a row are compared as a number of any length, everything else byte by byte. Of equal numbers the
// one with fewer leading zeros comes first.
bool natural_less(std::string_view left, std::string_view right);

}  // namespace berth::cli
