// SPDX-License-Identifier: Apache-2.0
#include "proxy/worker/http2_stream.h"

#include <algorithm>
#include <cstring>

#include "proxy/http1/characters.h"
#include "proxy/worker/http2_fields.h"
#include "proxy/worker/http2_session.h"
#include "proxy/worker/own_answer.h"

namespace berth::proxy {
namespace {

constexpr std::size_t kMostAnswer = 64u << 10;    // that waits for the client's window
constexpr std::size_t kMostUsed = 32u << 10;      // that is still in front of what is not used yet
constexpr unsigned kMostInformational = 16;       // of an answer
constexpr std::size_t kMostUnasked = 256u << 10;  // of a request that is answered already
// Windows, the one among them in which it began. An upload has its turn like all others; an answer may be
// behind others on a thin line.
constexpr unsigned kStillForBody = 2, kStillForAnswer = 7;

ssize_t read_answer(nghttp2_session*, std::int32_t, std::uint8_t* buffer, std::size_t size,
                    std::uint32_t* flags, nghttp2_data_source* source, void*) {
  return static_cast<Http2Stream*>(source->ptr)->give_answer(buffer, size, *flags);
}

}  // namespace

bool Http2Stream::add_field(std::string_view name, std::string_view value) {
  // All of the block counts: what it takes to say a field again is one byte (HPACK).
  block_bytes_ += name.size() + value.size() + 4;
  if (++fields_ > core_.settings.head.fields || block_bytes_ > core_.settings.head.bytes) return false;
  if (!all_in(kValueCharacters, value)) return false;
  if (begun_) {
    trailer_lines_.append(name).append(": ").append(value).append("\r\n");
  } else if (name == ":method") {
    method_ = value;
  } else if (name == ":path") {
    path_ = value;
  } else if (name == ":authority") {
    authority_ = value;
  } else if (name == "cookie") {
    if (!cookies_.empty()) cookies_.append("; ");
    cookies_.append(value);
  } else if (!name.starts_with(':')) {
    if (name == "host") host_ = value;
    has_length_ = has_length_ || name == "content-length";
    lines_.append(name).append(": ").append(value).append("\r\n");
  }
  return true;
}

void Http2Stream::begin(bool body_follows) {
  begun_ = true;
  fields_ = block_bytes_ = 0;
  head_text_.append(method_).append(" ").append(path_).append(" HTTP/1.1\r\n");
  // Where the two say the same they are one; where not there are two Hosts, which the parser refuses.
  if (!authority_.empty() && !equal_ignoring_case(host_, authority_))
    head_text_.append("Host: ").append(authority_).append("\r\n");
  head_text_.append(lines_);
  if (!cookies_.empty()) head_text_.append("Cookie: ").append(cookies_).append("\r\n");
  if (body_follows && !has_length_) head_text_.append("Transfer-Encoding: chunked\r\n");
  head_text_.append("\r\n");
  for (std::string* one : {&path_, &authority_, &host_, &cookies_, &lines_}) *one = std::string();
  body_ended_ = !body_follows;
  HeadSearch search;
  const Parsed<std::size_t> length = search.find(head_text_, core_.settings.head);
  if (!length || *length != head_text_.size()) return refuse(length ? 400 : length.error().status);
  if (const Parsed<void> parsed = parse_request_head(head_text_, core_.settings.head, head_); !parsed)
    return refuse(parsed.error().status);
  head_.major_version = 2;
  exchange_.start(head_, session_.client());
}

bool Http2Stream::owes_body() const noexcept {
  return !begun_ || (exchange_.active() && exchange_.waits_for_client() && !exchange_.shares_connection());
}

bool Http2Stream::is_answered() const noexcept {
  return begun_ && !exchange_.active() && all_given_ && !body_ended_;
}

// RFC 9113, section 8.1. Not at once: there are clients that lose the answer when this comes along with it,
// and most stop by themselves.
void Http2Stream::want_no_more() {
  body_ended_ = true;
  nghttp2_submit_rst_stream(session_.frames(), NGHTTP2_FLAG_NONE, id_, NGHTTP2_NO_ERROR);
}

// Who is not heard, or may not send, is not slow; neither is an answer that others are in front of.
bool Http2Stream::check_rate(const Window& window) {
  const std::uint64_t bytes = moved_bytes_ - std::exchange(checked_bytes_, moved_bytes_);
  const bool owes = (owes_body() && window.may_send) || is_answered();
  const bool stuck = answer_is_stuck() && (!window.others_move || is_shut());
  if (bytes >= kLeastBytes || (!owes && !stuck)) still_ = 0;
  if (!owes && !stuck) return true;
  return ++still_ < (owes ? kStillForBody : kStillForAnswer);
}

bool Http2Stream::is_shut() const noexcept {
  return nghttp2_session_get_stream_remote_window_size(session_.frames(), id_) <= 0;
}

void Http2Stream::refuse(int status) {
  core_.counters.refused.add();
  head_text_ = std::string();
  const OwnAnswer answer(core_.pages, status, method_ == "HEAD");
  begin_answer(answer.head());
  answer_whole(answer.body());
  end_answer({});
  core_.counters.answered(status, 0);
}

Parsed<BodyReader::Piece> Http2Stream::body() {
  const std::string_view data = std::string_view(body_).substr(body_taken_);
  if (!data.empty()) return BodyReader::Piece{.data = data};
  if (closed_) return std::unexpected(Refusal{400, "a body that was cut"});
  if (body_ended_ && !trailer_lines_.empty() && trailers_.empty()) {
    trailer_lines_.append("\r\n");
    if (const Parsed<void> parsed = parse_trailers(trailer_lines_, core_.settings.head, trailers_); !parsed)
      return std::unexpected(parsed.error());
  }
  return BodyReader::Piece{.ended = body_ended_};
}

// What is used goes, now and then: a body that never comes to rest would be kept whole.
void Http2Stream::add_body(std::string_view data) {
  if (body_taken_ >= kMostUsed) body_.erase(0, std::exchange(body_taken_, 0));
  body_.append(data);
  moved_bytes_ += data.size();
}

void Http2Stream::drop_body(std::size_t size) {
  unasked_ += size;
  if (is_answered() && unasked_ > kMostUnasked) want_no_more();
}

void Http2Stream::body_took(std::size_t count) {
  body_taken_ += count;
  if (body_taken_ == body_.size()) {
    body_.clear();
    body_taken_ = 0;
  }
  nghttp2_session_consume(session_.frames(), id_, count);
}

void Http2Stream::informational(int status, std::string_view, const Fields& fields) {
  if (++informational_ > kMostInformational) return;  // a client that does not read has no use for more
  FieldList list;
  list.add(":status", std::to_string(status));
  list.add_all(fields, true);
  const std::vector<nghttp2_nv>& all = list.finish();
  nghttp2_submit_headers(session_.frames(), NGHTTP2_FLAG_NONE, id_, nullptr, all.data(), all.size(), nullptr);
}

void Http2Stream::begin_answer(const AnswerHead& head) {
  FieldList list;
  list.add(":status", std::to_string(head.status));
  list.add_all(*head.fields, head.status == 204);
  list.add_lines(head.extra_lines);
  const std::vector<nghttp2_nv>& all = list.finish();
  nghttp2_data_provider provider{};
  provider.source.ptr = this;
  provider.read_callback = read_answer;
  all_given_ = head.framing.kind == Framing::Kind::none;
  nghttp2_submit_response(session_.frames(), id_, all.data(), all.size(), all_given_ ? nullptr : &provider);
}

std::size_t Http2Stream::answer_body(std::string_view data) {
  const std::size_t room = kMostAnswer - std::min(kMostAnswer, answer_.size() - answered_);
  const std::string_view taken = data.substr(0, room);
  if (answered_ >= kMostUsed) answer_.erase(0, std::exchange(answered_, 0));
  answer_.append(taken);
  wants_room_ = taken.size() < data.size();
  nghttp2_session_resume_data(session_.frames(), id_);
  return taken.size();
}

void Http2Stream::answer_whole(std::string_view data) {
  answer_.append(data);
  nghttp2_session_resume_data(session_.frames(), id_);
}

// What came of the request's body and is not asked for any more must not hold up the others' bodies.
void Http2Stream::end_answer(const Fields& trailers) {
  answer_ended_ = true;
  if (const std::size_t untaken = untaken_body(); untaken > 0) body_took(untaken);
  for (const Field& field : trailers) answer_trailers_.emplace_back(field.name, field.value);
  nghttp2_session_resume_data(session_.frames(), id_);
}

void Http2Stream::cut_answer() {
  nghttp2_submit_rst_stream(session_.frames(), NGHTTP2_FLAG_NONE, id_, NGHTTP2_INTERNAL_ERROR);
}

ssize_t Http2Stream::give_answer(std::uint8_t* to, std::size_t size, std::uint32_t& flags) {
  const std::size_t count = std::min(size, answer_.size() - answered_);
  std::memcpy(to, answer_.data() + answered_, count);
  answered_ += count;
  moved_bytes_ += count;
  session_.gave(count);
  if (answered_ == answer_.size()) {
    answer_.clear();
    answered_ = 0;
  }
  if (wants_room_ && answer_.size() - answered_ <= kMostAnswer / 2) {
    wants_room_ = false;
    session_.step_later(*this);
  }
  if (count == 0 && !answer_ended_) return NGHTTP2_ERR_DEFERRED;
  if (!answer_ended_ || answer_is_stuck()) return static_cast<ssize_t>(count);
  flags |= NGHTTP2_DATA_FLAG_EOF;
  all_given_ = true;
  if (!answer_trailers_.empty()) {
    flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
    FieldList list;
    for (const auto& [name, value] : answer_trailers_) list.add(name, value);
    const std::vector<nghttp2_nv>& all = list.finish();
    nghttp2_submit_trailer(session_.frames(), id_, all.data(), all.size());
  }
  return static_cast<ssize_t>(count);
}

void Http2Stream::flush_answer() {}

void Http2Stream::wake() { session_.run(); }

}  // namespace berth::proxy
