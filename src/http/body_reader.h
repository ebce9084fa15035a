// SPDX-License-Identifier: Apache-2.0
// Reads one message's body off a connection, by its framing (RFC 9112, sections 6 and 7).
#pragma once
#include <cstdint>
#include <span>

#include "base/error.h"
#include "http/head.h"
#include "http/stream.h"

namespace berth::http {

class BodyReader {
 public:
  BodyReader() = default;  // of a message without a body
  explicit BodyReader(const Framing& framing);

  // 0 is the end of a whole body; a cut or malformed one is an error, and stays one.
  Result<std::size_t> read(Input& input, std::span<char> buffer, const Deadline& deadline = {});
  Result<std::string> read_whole(Input& input, std::size_t limit, const Deadline& deadline = {});

  bool at_end() const noexcept { return state_ == State::end; }
  bool broken() const noexcept { return state_ == State::broken; }
  // Known to be left; 0 also when it is not known.
  std::uint64_t known_left() const noexcept { return kind_ == Framing::Kind::length ? left_ : 0; }

 private:
  enum class State { data, chunk_size, chunk_end, trailers, end, broken };
  Result<std::size_t> read_step(Input& input, std::span<char> buffer, const Deadline& deadline);
  Result<void> read_chunk_size(Input& input, const Deadline& deadline);
  Result<void> read_trailers(Input& input, const Deadline& deadline);

  Framing::Kind kind_ = Framing::Kind::none;
  State state_ = State::end;
  std::uint64_t left_ = 0;  // of the body, or of the chunk
};

}  // namespace berth::http
