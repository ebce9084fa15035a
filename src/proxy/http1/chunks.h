// SPDX-License-Identifier: Apache-2.0
// A chunked body (RFC 9112, section 7.1), read as it comes. Sizes have 15 hex digits at most, so that no sum
// of them wraps; extensions are bounded and dropped, since nobody agrees on what they are.
#pragma once
#include <cstdint>
#include <string_view>

#include "proxy/http1/head.h"

namespace berth::proxy {

class ChunkReader {
 public:
  struct Step {
    std::size_t used = 0;   // of the bytes given
    std::string_view data;  // of a chunk, within these; may be empty
    bool trailers = false;  // what comes next are the trailers: lines up to an empty one
  };

  // Call it again with what was not used, and more of it, until it says that there are trailers. When it used
  // nothing it needs more than it was given.
  Parsed<Step> next(std::string_view bytes);
  void reset() noexcept { *this = ChunkReader(); }

 private:
  enum class State : std::uint8_t { size, data, end_of_data, trailers };
  Parsed<Step> read_size(std::string_view bytes);

  State state_ = State::size;
  std::uint64_t left_ = 0;  // of this chunk's data
};

}  // namespace berth::proxy
