// SPDX-License-Identifier: Apache-2.0
// Heads of HTTP/1.x messages (RFC 9112), read where they lie: what is parsed are views into the caller's
// bytes, which must outlive them.
//
// A proxy stands between two parties that must agree about where each message ends; whoever gets them to
// disagree smuggles requests past it. So this parser takes less than the RFC lets a recipient take: what is
// ambiguous anywhere is refused here, and never repaired.
#pragma once
#include <cstddef>
#include <cstdint>
#include <expected>
#include <string_view>
#include <vector>

#include "http/message.h"

namespace berth::proxy {

// Why a message is not taken: the status for the client, and the rule that it breaks, for logs and people.
struct Refusal {
  int status = 400;
  std::string_view rule;  // a literal
};
template <class T>
using Parsed = std::expected<T, Refusal>;

struct HeadLimits {
  std::size_t bytes = 32u << 10;  // beyond: 431
  std::size_t fields = 100;       // beyond: 431
  std::size_t target = 8u << 10;  // beyond: 414
};

// Looks for the end of a head in bytes that come little by little, and does not look at any twice.
class HeadSearch {
 public:
  // `bytes` begin with the head and are never fewer than at the last call. The head's length with its empty
  // line; 0 while that has not come.
  Parsed<std::size_t> find(std::string_view bytes, const HeadLimits& limits);
  void reset() noexcept { line_ = searched_ = 0; }

 private:
  std::size_t line_ = 0;  // where the line begins that is looked at
  std::size_t searched_ = 0;
};

// Fields that mean something to this proxy. All others are passed on.
enum class KnownField : std::uint8_t {
  other,
  authorization,
  connection,
  content_length,
  cookie,
  expect,
  forwarded,
  host,
  keep_alive,
  max_forwards,
  proxy_authenticate,
  proxy_authorization,
  proxy_connection,
  referer,
  sec_websocket_accept,
  sec_websocket_key,
  te,
  trailer,
  transfer_encoding,
  upgrade,
  user_agent,
  x_forwarded_for,
  x_forwarded_host,
  x_forwarded_port,
  x_forwarded_prefix,
  x_forwarded_proto,
  x_forwarded_user,
  x_real_ip,
};

struct Field {
  std::string_view name, value;
  KnownField known = KnownField::other;
  bool ends_here = false;  // named in Connection: for this hop alone
};
using Fields = std::vector<Field>;

// Of one connection, and not of the message (RFC 9110, section 7.6.1): never passed on.
bool is_of_hop(const Field& field) noexcept;

const Field* find_field(const Fields& fields, KnownField known) noexcept;  // the first, or null

// Where a body ends (RFC 9112, section 6).
struct Framing {
  enum class Kind : std::uint8_t { none, length, chunked, until_close } kind = Kind::none;
  std::uint64_t length = 0;
};

struct RequestHead {
  std::string_view method;
  std::string_view target;  // path and query, or "*"
  std::string_view host;    // without its port, as it was written
  Framing framing;
  int minor_version = 1;  // 0 or 1
  int major_version = 1;  // 2: it came by HTTP/2, and is told here as HTTP/1.1 tells it
  bool keep_alive = true;
  bool expects_continue = false;
  bool websocket = false;   // asks for an upgrade to it, as RFC 6455 wants it
  bool idempotent = false;  // RFC 9110, section 9.2.2: may be sent again
  bool is_head = false;     // the answer has no body
  bool takes_trailers = false;
  Fields fields;

  bool counts_hops() const noexcept { return method == "TRACE" || method == "OPTIONS"; }
};

// `bytes` are exactly one head, as HeadSearch finds it. `head` is filled anew; its fields' room is kept.
Parsed<void> parse_request_head(std::string_view bytes, const HeadLimits& limits, RequestHead& head);

struct ResponseHead {
  int status = 0;
  std::string_view reason;
  Framing framing;
  int minor_version = 1;
  bool keep_alive = true;
  bool websocket = false;  // 101, with the fields of RFC 6455
  Fields fields;
};

// `request` is what this is the answer to: it decides on the framing.
Parsed<void> parse_response_head(std::string_view bytes, const HeadLimits& limits, const RequestHead& request,
                                 ResponseHead& head);

// The fields behind the last chunk. Those that frame, route or authenticate are errors there (RFC 9110,
// section 6.5.1).
Parsed<void> parse_trailers(std::string_view bytes, const HeadLimits& limits, Fields& fields);

// Without the port, in `buffer`, in lower case; empty when it does not fit there.
std::string_view normal_host(std::string_view host, char* buffer, std::size_t size) noexcept;

using http::equal_ignoring_case;
// Whether `token` is an element of a comma-separated list, without regard to case.
bool list_has(std::string_view list, std::string_view token) noexcept;

}  // namespace berth::proxy
