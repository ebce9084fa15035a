// SPDX-License-Identifier: Apache-2.0
// What attached containers and attached execs have in common.
#pragma once
#include <string>
#include <string_view>

#include "api/router.h"

namespace berth::api {

// Takes the connection over in Docker's manner: 101 when the client asks for an upgrade, 200 otherwise.
Result<http::HijackedConnection> hijack_stream(Call& call, bool terminal);

// "ctrl-p,ctrl-q" as the bytes that a terminal sends; empty means those two.
Result<std::string> parse_detach_keys(std::string_view text);

}  // namespace berth::api
