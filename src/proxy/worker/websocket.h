// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <string>
#include <string_view>

namespace berth::proxy {

// What a server that agrees to speak WebSocket answers to a client's key (RFC 6455, section 4.2.2).
std::string websocket_accept(std::string_view key);

}  // namespace berth::proxy
