// SPDX-License-Identifier: Apache-2.0
// JSON is UTF-8; what programs print, and what strangers write into Dockerfiles, need not be.
#pragma once
#include <string>
#include <string_view>

namespace berth::api {

// With U+FFFD for every byte that is part of no character.
std::string valid_text(std::string_view text);

// Of text that comes in pieces, which may end within a character: its beginning waits for the rest, so that
// each of these is as valid as all of it.
class WholeCharacters {
 public:
  std::string take(std::string_view piece);
  std::string finish();  // what waits, at the end

 private:
  std::string waiting_;
};

}  // namespace berth::api
