// SPDX-License-Identifier: Apache-2.0
// Heads of messages: found in a buffer, parsed, framed and written. Strict where leniency has let two parties
// disagree about where a message ends (request smuggling; RFC 9112, sections 6.3 and 11.2).
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"
#include "http/message.h"

namespace berth::http {

struct RequestHead {
  std::string method;
  std::string target;
  int minor_version = 1;
  Headers headers;
};

struct ResponseHead {
  int status = 0;
  int minor_version = 1;
  Headers headers;
};

// The length of the head at the start of `bytes`, with its empty line; npos while that has not come. Bytes
// before `searched` are known not to hold the end.
std::size_t find_head_end(std::string_view bytes, std::size_t searched) noexcept;

// `bytes` is exactly one head. More than `most_fields` fields are ErrorKind::exhausted, all else that is
// wrong with a head is ErrorKind::invalid.
Result<RequestHead> parse_request_head(std::string_view bytes, std::size_t most_fields);
Result<ResponseHead> parse_response_head(std::string_view bytes, std::size_t most_fields);

// Where a message's body ends.
struct Framing {
  enum class Kind { none, length, chunked, until_close } kind = Kind::none;
  std::uint64_t length = 0;
};

// From Content-Length and Transfer-Encoding. Both together, either of them twice, and any coding but
// "chunked" are errors. `otherwise` holds when the message has neither.
Result<Framing> framing_of(const Headers& headers, int minor_version, Framing::Kind otherwise);

// A name or value that could end a line, and so forge what follows, is an error.
Result<std::string> format_head(std::string_view start_line, const Headers& headers);

}  // namespace berth::http
