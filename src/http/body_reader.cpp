// SPDX-License-Identifier: Apache-2.0
#include "http/body_reader.h"

#include <algorithm>

#include "base/text.h"

namespace berth::http {
namespace {

constexpr std::size_t kChunkLineLimit = 1024;     // size and extensions
constexpr std::size_t kTrailerLimit = 16u << 10;  // all trailer lines; they are not used

}  // namespace

BodyReader::BodyReader(const Framing& framing) : kind_(framing.kind), left_(framing.length) {
  if (kind_ == Framing::Kind::none)
    state_ = State::end;
  else
    state_ = kind_ == Framing::Kind::chunked ? State::chunk_size : State::data;
}

Result<std::size_t> BodyReader::read(Input& input, std::span<char> buffer, const Deadline& deadline) {
  if (buffer.empty() || state_ == State::end) return 0;
  Result<std::size_t> got = read_step(input, buffer, deadline);
  // After a timeout within a body nobody can tell any more where the next message starts, either.
  if (!got) state_ = State::broken;
  return got;
}

Result<std::size_t> BodyReader::read_step(Input& input, std::span<char> buffer, const Deadline& deadline) {
  for (;;) {
    switch (state_) {
      case State::chunk_end:
        if (!TRY(input.read_line(2, deadline)).empty())
          return fail(ErrorKind::invalid, "a chunk of the body is longer than its size says");
        state_ = State::chunk_size;
        [[fallthrough]];
      case State::chunk_size:
        TRY(read_chunk_size(input, deadline));
        continue;
      case State::trailers:
        TRY(read_trailers(input, deadline));
        continue;
      case State::end:
        return 0;
      case State::broken:
        return fail(ErrorKind::invalid, "the body is broken");
      case State::data:
        break;
    }
    if (kind_ != Framing::Kind::until_close)
      buffer = buffer.first(static_cast<std::size_t>(std::min<std::uint64_t>(buffer.size(), left_)));
    std::size_t got = TRY(input.read(buffer, deadline));
    if (kind_ == Framing::Kind::until_close) {
      if (got == 0) state_ = State::end;
      return got;
    }
    if (got == 0) return fail(ErrorKind::unavailable, "the connection ended within the body");
    left_ -= got;
    if (left_ == 0) state_ = kind_ == Framing::Kind::chunked ? State::chunk_end : State::end;
    return got;
  }
}

Result<void> BodyReader::read_chunk_size(Input& input, const Deadline& deadline) {
  std::string line = TRY(input.read_line(kChunkLineLimit, deadline));
  // Extensions are allowed and mean nothing to us. Blanks around the size are not: others skip them or don't.
  std::string_view digits = split_once(line, ';').first;
  auto is_digit = [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
  };
  std::optional<std::uint64_t> size;
  if (std::all_of(digits.begin(), digits.end(), is_digit)) size = parse_integer<std::uint64_t>(digits, 16);
  if (!size || *size > INT64_MAX || line.find('\r') != std::string::npos)
    return fail(ErrorKind::invalid, "a chunk's size is malformed");
  left_ = *size;
  state_ = left_ == 0 ? State::trailers : State::data;
  return {};
}

Result<void> BodyReader::read_trailers(Input& input, const Deadline& deadline) {
  std::size_t total = 0;
  for (;;) {
    std::string line = TRY(input.read_line(kTrailerLimit, deadline));
    if (line.empty()) break;
    total += line.size();
    if (total > kTrailerLimit) return fail(ErrorKind::invalid, "the body's trailers are too long");
  }
  state_ = State::end;
  return {};
}

Result<std::string> BodyReader::read_whole(Input& input, std::size_t limit, const Deadline& deadline) {
  if (known_left() > limit)
    return fail(ErrorKind::invalid, "a body of {} bytes; at most {} are allowed", known_left(), limit);
  std::string body;
  char buffer[16384];
  for (;;) {
    std::size_t got = TRY(read(input, buffer, deadline));
    if (got == 0) return body;
    if (body.size() + got > limit) return fail(ErrorKind::invalid, "a body of more than {} bytes", limit);
    body.append(buffer, got);
  }
}

}  // namespace berth::http
