// SPDX-License-Identifier: Apache-2.0
// Redis' protocol (RESP2 and RESP3), as far as a client of it needs it.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace berth::proxy {

struct RespValue {
  enum class Type : std::uint8_t { null, text, integer, error, list, push } type = Type::null;
  std::string text;  // of text and error; doubles, booleans and big numbers as they came
  std::int64_t integer = 0;
  std::vector<RespValue> items;  // of list and push; a map's names and values in turn
};

// Values out of bytes that come little by little.
class RespReader {
 public:
  void add(std::string_view bytes) { bytes_.append(bytes); }
  // The next value is in `out` (true), or has not come yet (false). ErrorKind::corrupt: this is not the
  // protocol, and nothing more can be read.
  Result<bool> next(RespValue& out);

 private:
  std::string bytes_;
  std::size_t begin_ = 0;
  std::size_t needed_ =
      0;  // bytes before there can be a whole value: what is long is not read again and again
};

// A command, as a list of texts.
void append_command(std::string& out, std::initializer_list<std::string_view> parts);

}  // namespace berth::proxy
