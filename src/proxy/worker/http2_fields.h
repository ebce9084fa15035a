// SPDX-License-Identifier: Apache-2.0
// Fields as nghttp2 takes them, and heads of HTTP/1.1 as those.
#pragma once
#include <nghttp2/nghttp2.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "proxy/http1/head.h"

namespace berth::proxy {

inline std::string_view view_of(const std::uint8_t* bytes, std::size_t size) {
  return {reinterpret_cast<const char*>(bytes), size};
}

// Names and values for nghttp2, which copies them when they are submitted.
class FieldList {
 public:
  void add(std::string_view name, std::string_view value);  // the name in whatever case
  void add_all(const Fields& fields, bool without_length);  // but those of the hop
  void add_lines(std::string_view lines);                   // "Name: value\r\n"...
  // A request's head as append_request_head() writes it. What frames it is left out: HTTP/2 does that itself.
  void add_request(std::string_view head, std::string_view scheme, bool takes_trailers);
  const std::vector<nghttp2_nv>& finish();

 private:
  std::vector<std::pair<std::string, std::string>> texts_;
  std::vector<nghttp2_nv> list_;
};

}  // namespace berth::proxy
