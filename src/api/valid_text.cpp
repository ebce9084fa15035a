// SPDX-License-Identifier: Apache-2.0
#include "api/valid_text.h"

#include <algorithm>
#include <utility>

#include "base/text.h"

namespace berth::api {
namespace {

constexpr std::string_view kReplacement = "\xef\xbf\xbd";

bool continues(char byte) { return (static_cast<unsigned char>(byte) & 0xc0) == 0x80; }

// By its first byte; 1 also for what begins no character.
std::size_t length_of(char first) {
  const auto byte = static_cast<unsigned char>(first);
  if (byte >= 0xc2 && byte < 0xe0) return 2;
  if (byte >= 0xe0 && byte < 0xf0) return 3;
  if (byte >= 0xf0 && byte < 0xf5) return 4;
  return 1;
}

// Where the beginning of a character stands at the end of the text, of which the rest may still come.
std::size_t unfinished_at(std::string_view text) {
  for (std::size_t back = 1; back <= std::min<std::size_t>(3, text.size()); ++back) {
    const std::size_t at = text.size() - back;
    if (!continues(text[at])) return length_of(text[at]) > back ? at : text.size();
  }
  return text.size();
}

}  // namespace

std::string valid_text(std::string_view text) {
  if (valid_utf8(text)) return std::string(text);
  std::string out;
  while (!text.empty()) {
    const std::size_t length = length_of(text.front());
    const bool whole = text.size() >= length && valid_utf8(text.substr(0, length));
    out += whole ? text.substr(0, length) : kReplacement;
    text.remove_prefix(whole ? length : 1);
  }
  return out;
}

std::string WholeCharacters::take(std::string_view piece) {
  std::string text = std::exchange(waiting_, {});
  text += piece;
  const std::size_t end = unfinished_at(text);
  waiting_ = text.substr(end);
  text.resize(end);
  return text;
}

std::string WholeCharacters::finish() { return std::exchange(waiting_, {}); }

}  // namespace berth::api
