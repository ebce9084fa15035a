// SPDX-License-Identifier: Apache-2.0
// A message's body out of a connection's input, whatever its framing: decoded, piece by piece, where it lies.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "proxy/http1/chunks.h"
#include "proxy/http1/head.h"

namespace berth::proxy {

class BodyReader {
 public:
  // `fields` are the head's: trailers that its Connection names end here.
  void begin(const Framing& framing, const Fields& fields = {});

  struct Piece {
    std::string_view data;        // the body's next bytes, as far as they are there
    std::size_t used_before = 0;  // of the input, in front of them: framing
    bool ended = false;           // all of the body was taken, and its trailers are known
  };
  // `input` is what was read and not used. The caller uses `used_before` bytes of it first.
  Parsed<Piece> next(std::string_view input, const HeadLimits& limits);
  // So many bytes of the piece's data were used.
  void took(std::size_t count) noexcept;

  // What was read ended there. Whether the body did, too.
  bool may_end_here() const noexcept { return ended_ || kind_ == Framing::Kind::until_close; }
  bool ended() const noexcept { return ended_; }
  const Fields& trailers() const noexcept { return trailers_; }
  std::string_view trailer_text() const noexcept { return trailer_text_; }
  std::uint64_t left() const noexcept { return left_; }

 private:
  Parsed<Piece> next_of_chunks(std::string_view input, const HeadLimits& limits);
  Parsed<Piece> read_trailers(std::string_view input, std::size_t before, const HeadLimits& limits);

  Framing::Kind kind_ = Framing::Kind::none;
  bool ended_ = true;
  std::uint64_t left_ = 0;  // of the length, or of the chunk's data that was found and not yet taken
  ChunkReader chunks_;
  HeadSearch trailer_search_;
  std::string trailer_text_, hop_names_;
  Fields trailers_;  // views into trailer_text_
};

}  // namespace berth::proxy
