// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>

#include "proxy/worker/http2_upstream.h"

namespace berth::proxy {
namespace {

constexpr std::size_t kMostKept = 64u << 10;  // of a request's body, to send it again

}  // namespace

UpstreamLink::Progress Http2UpstreamStream::connected() noexcept {
  if (closed_ || !connection_) return Progress::failed;
  return connection_->open_ ? Progress::connected : Progress::waiting;
}

void Http2UpstreamStream::begin_body(const RequestHead& head) {
  text_.begin(head.is_head);
  const bool with_body = head.framing.kind != Framing::Kind::none;
  if (!with_body) body_ended_ = true;
  if (connection_ && !closed_) connection_->begin(*this, with_body, head);
  head_ = {};
}

std::size_t Http2UpstreamStream::write_body(std::string_view data) {
  if (closed_ || !connection_) return data.size();
  const std::size_t unsent = body_.size() - given_;
  const std::string_view taken =
      data.substr(0, Connection::kMostQueued - std::min(Connection::kMostQueued, unsent));
  wants_room_ = taken.size() < data.size();
  if (taken.empty()) return 0;
  forgot_ = forgot_ || body_.size() + taken.size() > kMostKept || text_.has_head();
  if (forgot_) body_.erase(0, std::exchange(given_, 0));
  body_.append(taken);
  nghttp2_session_resume_data(connection_->frames_.get(), id_);
  return taken.size();
}

void Http2UpstreamStream::end_body(const Fields& trailers) {
  if (closed_ || !connection_ || std::exchange(body_ended_, true)) return;
  for (const Field& field : trailers) trailers_.emplace_back(field.name, field.value);
  nghttp2_session_resume_data(connection_->frames_.get(), id_);
}

void Http2UpstreamStream::flush() {
  if (connection_ && !closed_) connection_->poke();
}

ssize_t Http2UpstreamStream::give(std::uint8_t* to, std::size_t size, std::uint32_t& flags) {
  const std::size_t count = std::min(size, body_.size() - given_);
  std::memcpy(to, body_.data() + given_, count);
  given_ += count;
  if (given_ == body_.size() && body_ended_) {
    flags |= NGHTTP2_DATA_FLAG_EOF;
    sent_all_ = true;
  } else if (count == 0) {
    return NGHTTP2_ERR_DEFERRED;
  }
  return static_cast<ssize_t>(count);
}

bool Http2UpstreamStream::give_back(std::string& body) {
  if (forgot_) return false;
  body.insert(0, body_);
  return true;
}

// Only what the client has taken makes room for more of the answer.
void Http2UpstreamStream::use(std::size_t count) noexcept {
  used_ += count;
  if (used_ < input_.size()) return;
  input_.clear();
  used_ = 0;
  if (input_body_ == 0 || closed_ || !connection_) return;
  nghttp2_session_consume_stream(connection_->frames_.get(), id_, std::exchange(input_body_, 0));
  if (nghttp2_session_want_write(connection_->frames_.get())) connection_->poke();
}

Connection::Read Http2UpstreamStream::read_more() {
  if (malformed_) return Connection::Read::full;
  if (text_.has_text()) {
    input_body_ += text_.body_bytes();
    if (input_.empty()) {
      text_.take(input_);
    } else {
      std::string more;
      text_.take(more);
      input_.erase(0, std::exchange(used_, 0)).append(more);
    }
    return Connection::Read::data;
  }
  if (text_.ended()) return Connection::Read::end;
  return closed_ ? Connection::Read::failed : Connection::Read::blocked;
}

void Http2UpstreamStream::close(bool refused) {
  closed_ = true;
  refused_ = refused && !text_.has_head();
}

void Http2UpstreamStream::leave(Upstream self, bool) {
  if (connection_) {
    if (id_ != 0 && !closed_ && connection_->frames_) {
      nghttp2_session_set_stream_user_data(connection_->frames_.get(), id_, nullptr);
      if (!is_clean())
        nghttp2_submit_rst_stream(connection_->frames_.get(), NGHTTP2_FLAG_NONE, id_,
                                  text_.ended() ? NGHTTP2_NO_ERROR : NGHTTP2_CANCEL);
    }
    std::exchange(connection_, nullptr)->stream_left(*this);
  }
  all_.parts_.timers.clear(*this);
  all_.parts_.poller.bury(std::unique_ptr<EventTarget>(static_cast<Http2UpstreamStream*>(self.release())));
}

}  // namespace berth::proxy
