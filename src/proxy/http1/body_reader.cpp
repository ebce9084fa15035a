// SPDX-License-Identifier: Apache-2.0
#include "proxy/http1/body_reader.h"

#include <algorithm>

namespace berth::proxy {

void BodyReader::begin(const Framing& framing, const Fields& fields) {
  kind_ = framing.kind;
  left_ = framing.kind == Framing::Kind::length ? framing.length : 0;
  ended_ = framing.kind == Framing::Kind::none;
  chunks_.reset();
  trailer_search_.reset();
  trailers_.clear();
  trailer_text_.clear();
  hop_names_.clear();
  if (framing.kind != Framing::Kind::chunked) return;
  for (const Field& field : fields)
    if (field.known == KnownField::connection) hop_names_.append(field.value).append(",");
}

Parsed<BodyReader::Piece> BodyReader::next(std::string_view input, const HeadLimits& limits) {
  if (ended_) return Piece{.ended = true};
  switch (kind_) {
    case Framing::Kind::length:
      return Piece{
          .data = input.substr(0, static_cast<std::size_t>(std::min<std::uint64_t>(left_, input.size())))};
    case Framing::Kind::chunked:
      return next_of_chunks(input, limits);
    case Framing::Kind::until_close:
    case Framing::Kind::none:
      break;
  }
  return Piece{.data = input};
}

// Only what is there of a chunk's data is asked of the reader of chunks: what it has given is taken, sooner
// or later, before it is asked again.
Parsed<BodyReader::Piece> BodyReader::next_of_chunks(std::string_view input, const HeadLimits& limits) {
  if (left_ > 0) return Piece{.data = input.substr(0, static_cast<std::size_t>(left_))};
  std::size_t before = 0;
  for (;;) {
    const Parsed<ChunkReader::Step> step = chunks_.next(input.substr(before));
    if (!step) return std::unexpected(step.error());
    if (!step->data.empty()) {
      left_ = step->data.size();
      return Piece{.data = step->data, .used_before = before};
    }
    before += step->used;
    if (step->trailers) return read_trailers(input, before, limits);
    if (step->used == 0) return Piece{.used_before = before};
  }
}

Parsed<BodyReader::Piece> BodyReader::read_trailers(std::string_view input, std::size_t before,
                                                    const HeadLimits& limits) {
  const std::string_view lines = input.substr(before);
  const Parsed<std::size_t> length = trailer_search_.find(lines, limits);
  if (!length) return std::unexpected(length.error());
  if (*length == 0) return Piece{.used_before = before};
  trailer_text_ = lines.substr(0, *length);
  if (const Parsed<void> parsed = parse_trailers(trailer_text_, limits, trailers_); !parsed)
    return std::unexpected(parsed.error());
  if (!hop_names_.empty())
    std::erase_if(trailers_, [&](const Field& field) { return list_has(hop_names_, field.name); });
  ended_ = true;
  return Piece{.used_before = before + *length, .ended = true};
}

void BodyReader::took(std::size_t count) noexcept {
  if (kind_ == Framing::Kind::until_close) return;
  left_ -= count;
  if (kind_ == Framing::Kind::length && left_ == 0) ended_ = true;
}

}  // namespace berth::proxy
