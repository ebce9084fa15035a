// SPDX-License-Identifier: Apache-2.0
// An answer of HTTP/2 as the HTTP/1.1 that says the same, for the parser that all answers go through: heads
// as lines, the body by its Content-Length where it has one and in chunks otherwise, then the trailers.
//
//   per block of fields: add_field()..., end_fields(); then add_data()..., and end_body() where no block
//   ended it.
#pragma once
#include <string>
#include <string_view>

#include "proxy/http1/head.h"

namespace berth::proxy {

class AnswerText {
 public:
  static constexpr unsigned kMostInformational = 16;

  AnswerText() = default;
  // Before the first block. Whether it is the answer to a HEAD, which has no body whatever its fields say.
  void begin(bool is_head) noexcept { is_head_ = is_head; }

  // False: more than is taken, or what no answer of HTTP/2 has. Nothing is to be asked of this any more.
  [[nodiscard]] bool add_field(std::string_view name, std::string_view value, const HeadLimits& limits);
  [[nodiscard]] bool end_fields(bool ends_answer);
  void add_data(std::string_view data);
  void end_body();

  bool has_head() const noexcept { return has_head_; }  // the last one: no more 1xx
  bool ended() const noexcept { return ended_; }
  bool has_text() const noexcept { return !text_.empty() || !chunk_.empty(); }
  std::size_t body_bytes() const noexcept { return body_bytes_; }  // in what was not taken
  // All that there is. `to` is empty; its room is used for what comes next.
  void take(std::string& to);

 private:
  bool end_head(bool ends_answer);
  void end_chunk();

  std::string text_;   // what is complete
  std::string chunk_;  // one that grows behind text_, with room for its size in front
  std::string status_, lines_;
  std::size_t fields_ = 0, body_bytes_ = 0;
  unsigned informational_ = 0;
  bool is_head_ = false, has_length_ = false, has_head_ = false, chunked_ = false, ended_ = false;
};

}  // namespace berth::proxy
