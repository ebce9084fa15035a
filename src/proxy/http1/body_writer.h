// SPDX-License-Identifier: Apache-2.0
// A body onto an HTTP/1 connection: as it is, where its length is known or the connection's end ends it, or
// in chunks. Chunks are queued: whoever has written all that there was flushes.
#pragma once
#include <string_view>

#include "proxy/http1/head.h"
#include "proxy/worker/connection.h"

namespace berth::proxy {

class BodyWriter {
 public:
  void begin(Framing::Kind kind) noexcept { kind_ = kind; }

  // How much of it was taken: less than all when the reader is slow, and then no more until the connection
  // has room again.
  std::size_t write(Connection& connection, std::string_view data) const;
  void end(Connection& connection, const Fields& trailers) const;

 private:
  Framing::Kind kind_ = Framing::Kind::none;
};

}  // namespace berth::proxy
