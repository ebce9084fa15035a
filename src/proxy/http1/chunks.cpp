// SPDX-License-Identifier: Apache-2.0
#include "proxy/http1/chunks.h"

#include <algorithm>
#include <cstring>

#include "proxy/http1/characters.h"

namespace berth::proxy {
namespace {

constexpr std::size_t kMostDigits = 15;
constexpr std::size_t kLongestLine = 1024;  // size and extensions

std::unexpected<Refusal> refuse(std::string_view rule) { return std::unexpected(Refusal{400, rule}); }

int hex_digit(char c) noexcept {
  if (c >= '0' && c <= '9') return c - '0';
  const char small = lower(c);
  return small >= 'a' && small <= 'f' ? small - 'a' + 10 : -1;
}

}  // namespace

Parsed<ChunkReader::Step> ChunkReader::next(std::string_view bytes) {
  switch (state_) {
    case State::size:
      return read_size(bytes);
    case State::data: {
      const std::size_t taken = static_cast<std::size_t>(std::min<std::uint64_t>(left_, bytes.size()));
      left_ -= taken;
      if (left_ == 0) state_ = State::end_of_data;
      return Step{.used = taken, .data = bytes.substr(0, taken)};
    }
    case State::end_of_data:
      if (!bytes.empty() && bytes[0] != '\r') return refuse("a chunk that does not end where it should");
      if (bytes.size() < 2) return Step{};
      if (bytes[1] != '\n') return refuse("a chunk that does not end where it should");
      state_ = State::size;
      return Step{.used = 2, .data = {}};
    case State::trailers:
      break;
  }
  return Step{.trailers = true};
}

Parsed<ChunkReader::Step> ChunkReader::read_size(std::string_view bytes) {
  std::uint64_t size = 0;
  std::size_t at = 0;
  for (; at < bytes.size(); ++at) {
    const int digit = hex_digit(bytes[at]);
    if (digit < 0) break;
    if (at == kMostDigits) return refuse("a chunk's size of more digits than are taken");
    size = size * 16 + static_cast<std::uint64_t>(digit);
  }
  if (at == bytes.size()) return Step{};
  if (at == 0) return refuse("a chunk without a size");
  const char next = bytes[at];
  if (next != '\r' && next != ';') return refuse("a chunk's size that is no number");
  const std::string_view line = bytes.substr(at, std::min(bytes.size() - at, kLongestLine));
  const auto* end = static_cast<const char*>(std::memchr(line.data(), '\n', line.size()));
  if (!end) {
    if (line.size() == kLongestLine) return refuse("a longer chunk extension than is taken");
    if (next == '\r' && line.size() > 1) return refuse("a chunk's size that is no number");
    return Step{};
  }
  const auto length = static_cast<std::size_t>(end - line.data());
  if (length == 0 || line[length - 1] != '\r') return refuse("a chunk's line without a carriage return");
  if (!all_in(kValueCharacters, line.substr(0, length - 1)))
    return refuse("a character that no chunk extension has");
  left_ = size;
  state_ = size == 0 ? State::trailers : State::data;
  return Step{.used = at + length + 1, .data = {}, .trailers = size == 0};
}

}  // namespace berth::proxy
