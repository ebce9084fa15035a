// SPDX-License-Identifier: Apache-2.0
// --mount: comma-separated key=value pairs in CSV quoting, as a Mount of the Engine API.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace boost::json {
class object;
}

namespace berth::cli {

// One line of CSV (RFC 4180): fields may be in double quotes, with "" for a quote.
Result<std::vector<std::string>> parse_csv(std::string_view line);

Result<boost::json::object> parse_mount(std::string_view text);

Result<std::string> check_mount(std::string_view text);  // for the flag's table: keeps the text

}  // namespace berth::cli
