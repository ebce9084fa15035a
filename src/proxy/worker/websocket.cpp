// SPDX-License-Identifier: Apache-2.0
#include "proxy/worker/websocket.h"

#include <openssl/sha.h>

#include "base/text.h"

namespace berth::proxy {

std::string websocket_accept(std::string_view key) {
  const std::string text = std::string(key) + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
  unsigned char digest[SHA_DIGEST_LENGTH];
  SHA1(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest);
  return to_base64({reinterpret_cast<const char*>(digest), sizeof digest});
}

}  // namespace berth::proxy
