// SPDX-License-Identifier: Apache-2.0
#include "proxy/worker/answer_text.h"

#include <fmt/format.h>

#include <iterator>

#include "base/text.h"
#include "http/message.h"
#include "proxy/http1/characters.h"
#include "proxy/http1/known_fields.h"

namespace berth::proxy {
namespace {

constexpr std::size_t kSizeDigits = 8;
constexpr std::size_t kSizeLine = kSizeDigits + 2;
constexpr std::size_t kFrame = 128;  // of a head's bytes: the status line, and the field that frames

bool is_of_http1(std::string_view name) noexcept {
  const Field field{.name = name, .value = {}, .known = known_field(name)};
  return is_of_hop(field);
}

}  // namespace

bool AnswerText::add_field(std::string_view name, std::string_view value, const HeadLimits& limits) {
  if (ended_ || ++fields_ >= limits.fields) return false;
  if (lines_.size() + name.size() + value.size() + 4 + kFrame > limits.bytes) return false;
  if (!all_in(kValueCharacters, value)) return false;
  if (name == ":status") {
    const bool first = status_.empty() && lines_.empty() && !has_head_;
    status_ = value;
    return first;
  }
  if (name.empty() || !all_in(kTokenCharacters, name) || is_of_http1(name)) return false;
  has_length_ = has_length_ || (!has_head_ && known_field(name) == KnownField::content_length);
  lines_.append(name).append(": ").append(value).append("\r\n");
  return true;
}

bool AnswerText::end_fields(bool ends_answer) {
  if (!has_head_ && !end_head(ends_answer)) return false;
  if (ends_answer) end_body();
  status_.clear();
  lines_.clear();
  fields_ = 0;
  return true;
}

bool AnswerText::end_head(bool ends_answer) {
  const auto status = parse_integer<int>(status_);
  if (!status || status_.size() != 3 || *status < 100 || *status == 101) return false;
  const bool informational = *status < 200;
  if (informational && (ends_answer || has_length_ || ++informational_ > kMostInformational)) return false;
  fmt::format_to(std::back_inserter(text_), "HTTP/1.1 {} {}\r\n", *status, http::reason_phrase(*status));
  text_.append(lines_);
  lines_.clear();
  if (!informational) {
    has_head_ = true;
    const bool bodiless = is_head_ || *status == 204 || *status == 304;
    chunked_ = !bodiless && !has_length_ && !ends_answer;
    if (chunked_) text_.append("Transfer-Encoding: chunked\r\n");
    if (!bodiless && !has_length_ && ends_answer) text_.append("Content-Length: 0\r\n");
  }
  text_.append("\r\n");
  return true;
}

// Many small pieces are one chunk: what frames them must not be more than they are.
void AnswerText::add_data(std::string_view data) {
  if (data.empty() || ended_) return;
  body_bytes_ += data.size();
  if (!chunked_) {
    text_.append(data);
    return;
  }
  if (chunk_.empty()) chunk_.append(kSizeLine, ' ');
  chunk_.append(data);
}

// Trailers behind a body of a known length have no place in HTTP/1.1: they are left out.
void AnswerText::end_body() {
  if (ended_) return;
  ended_ = true;
  end_chunk();
  if (chunked_) text_.append("0\r\n").append(lines_).append("\r\n");
}

void AnswerText::end_chunk() {
  if (chunk_.empty()) return;
  fmt::format_to_n(chunk_.begin(), kSizeLine, "{:0{}x}\r\n", chunk_.size() - kSizeLine, kSizeDigits);
  chunk_.append("\r\n");
  if (text_.empty())
    text_.swap(chunk_);
  else
    text_.append(chunk_);
  chunk_.clear();
}

void AnswerText::take(std::string& to) {
  end_chunk();
  body_bytes_ = 0;
  to.swap(text_);
}

}  // namespace berth::proxy
