// SPDX-License-Identifier: Apache-2.0
#include "proxy/worker/http2_upstream.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <iterator>

#include "proxy/worker/http2_fields.h"
#include "proxy/worker/upstream_socket.h"

namespace berth::proxy {
namespace {

constexpr std::size_t kMostStreams = 100;            // of a connection, whatever more the backend permits
constexpr std::int32_t kConnectionWindow = 1 << 20;  // what has come is not held against it: see on_data()
constexpr std::int64_t kOpening = 10'000;            // milliseconds, for the settings to come
constexpr std::int64_t kQuiet = 20'000;              // of a backend, until it is asked whether it is there
constexpr std::int64_t kAnswerToPing = 10'000;
constexpr std::int64_t kFarewell = 2'000;
constexpr unsigned kMostForNothing = 10'000;  // frames in a row that bring nothing, and answer nothing
constexpr unsigned kMostReads = 16;           // in a round, of 64 KiB at most

const HeadLimits kLimits;

}  // namespace

Http2Upstream::Http2Upstream(Http2Upstreams& all, Fd socket, Ssl tls, std::shared_ptr<Endpoint> endpoint,
                             std::uint32_t moves)
    : Connection(all.parts_.buffers, std::move(socket), std::move(tls)),
      all_(all),
      endpoint_(std::move(endpoint)),
      moves_(moves) {}

Http2Upstream::~Http2Upstream() {
  for (Http2UpstreamStream* one : streams_) one->connection_ = nullptr;
}

void Http2Upstream::start() { all_.parts_.timers.set(*this, kOpening); }

// Until the settings come it is as if it had room for all.
bool Http2Upstream::has_room() const noexcept {
  if (ended_ || retired_ || moves_ != endpoint_->moves.load()) return false;
  const std::size_t permitted =
      open_ ? nghttp2_session_get_remote_settings(frames_.get(), NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS)
            : kMostStreams;
  return places_ < std::min(permitted, kMostStreams);
}

bool Http2Upstream::still_there() {
  if (!streams_.empty() || running_ || !open_) return true;
  note(EPOLLIN);
  run();
  return has_room();
}

void Http2Upstream::take(Http2UpstreamStream& stream) {
  if (streams_.empty() && open_) {
    asked_ = false;
    all_.parts_.timers.set(*this, kQuiet);
  }
  stream.connection_ = this;
  stream.reused_ = open_;
  streams_.insert(&stream);
  ++places_;
}

void Http2Upstream::retire() {
  if (ended_) return;
  retired_ = true;
  if (!streams_.empty()) return;
  if (frames_) nghttp2_session_terminate_session(frames_.get(), NGHTTP2_NO_ERROR);
  all_.parts_.timers.set(*this, kFarewell);
  if (open_)
    run();
  else
    all_.run_later(*this);
}

void Http2Upstream::on_events(std::uint32_t events) {
  if (ended_) return;
  note(events);
  run();
}

// Of one that nobody needs, and of one whose backend may be gone without a word.
void Http2Upstream::on_deadline() {
  if (ended_) return;
  const std::int64_t idle = all_.parts_.timers.now() - idle_since_;
  if (!open_ || (retired_ && streams_.empty())) {
    end();
  } else if (streams_.empty()) {
    if (idle >= all_.parts_.idle) return retire();
    all_.parts_.timers.set(*this, all_.parts_.idle - idle);
    return;
  } else if (std::exchange(heard_, false)) {
    asked_ = false;
    all_.parts_.timers.set(*this, kQuiet);
  } else if (!std::exchange(asked_, true)) {
    nghttp2_submit_ping(frames_.get(), NGHTTP2_FLAG_NONE, nullptr);
    all_.parts_.timers.set(*this, kAnswerToPing);
  } else {
    end();
  }
  run();
}

// --- steps ---------------------------------------------------------------------------------------------

// What happens within may call this again: it goes round once more, not inside.
void Http2Upstream::run() {
  again_ = true;
  if (running_) return;
  running_ = true;
  while (std::exchange(again_, false) && !ended_ && make_ready()) {
    const bool more = read_frames();
    tell_users();
    write_frames();
    if (!more) continue;
    all_.run_later(*this);
    break;
  }
  if (retired_ && !open_ && streams_.empty()) end();
  if (ended_) tell_users();
  running_ = false;
  if (ended_) all_.gone(*this);
}

bool Http2Upstream::make_ready() {
  if (frames_) return true;
  if (!connected_) {
    const SocketProgress progress = progress_of(descriptor());
    if (progress == SocketProgress::failed) end();
    if (progress != SocketProgress::connected) return false;
    connected_ = true;
  }
  if (is_tls() && !shake_hands()) return false;
  start_frames();
  return frames_ != nullptr;
}

bool Http2Upstream::shake_hands() {
  ERR_clear_error();
  const int done = SSL_do_handshake(tls());
  if (done != 1) {
    const int error = SSL_get_error(tls(), done);
    if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE) end();
    return false;
  }
  const unsigned char* name = nullptr;
  unsigned size = 0;
  SSL_get0_alpn_selected(tls(), &name, &size);
  if (view_of(name, size) != "h2") return end(), false;
  return true;
}

void Http2Upstream::start_frames() {
  nghttp2_option* option = nullptr;
  if (nghttp2_option_new(&option) != 0) return end();
  nghttp2_option_set_no_auto_window_update(option, 1);
  nghttp2_session* frames = nullptr;
  const int made = nghttp2_session_client_new2(&frames, callbacks(), this, option);
  nghttp2_option_del(option);
  if (made != 0) return end();
  frames_.reset(frames);
  const nghttp2_settings_entry settings[] = {
      {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
      {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 0},
      {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, static_cast<std::uint32_t>(kLimits.bytes)},
  };
  nghttp2_submit_settings(frames, NGHTTP2_FLAG_NONE, settings, std::size(settings));
  nghttp2_session_set_local_window_size(frames, NGHTTP2_FLAG_NONE, 0, kConnectionWindow);
}

// There may be more that wait for this than the backend permits: those go elsewhere. A backend that permits
// none is none.
void Http2Upstream::settings_came() {
  if (std::exchange(open_, true)) return;
  idle_since_ = all_.parts_.timers.now();
  heard_ = true;
  all_.parts_.timers.set(*this, streams_.empty() ? all_.parts_.idle : kQuiet);
  const std::size_t permitted =
      nghttp2_session_get_remote_settings(frames_.get(), NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
  if (permitted == 0) {
    useless_ = true;
    return;
  }
  const std::vector<Http2UpstreamStream*> all(streams_.begin(), streams_.end());
  for (Http2UpstreamStream* one : all) {
    if (places_ > permitted) {
      if (move_elsewhere(*one)) continue;
      one->close(true);
    }
    tell(*one);
  }
}

bool Http2Upstream::move_elsewhere(Http2UpstreamStream& stream) {
  Http2Upstream* other = all_.find(*endpoint_);
  if (!other) other = all_.connect(endpoint_).value_or(nullptr);
  if (!other) return false;
  streams_.erase(&stream);
  --places_;
  other->take(stream);
  if (!other->open_) return true;
  other->tell(stream);
  all_.run_later(*other);
  return true;
}

// Whether there may be more, and others are to have their turn first.
bool Http2Upstream::read_frames() {
  for (unsigned reads = 0; reads < kMostReads; ++reads) {
    switch (read_more()) {
      case Read::data: {
        const std::string_view bytes = input();
        heard_ = true;
        const ssize_t used = nghttp2_session_mem_recv(
            frames_.get(), reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
        use(bytes.size());
        if (used < 0 || useless_) return end(), false;
        break;
      }
      case Read::blocked:
      case Read::full:
        return false;
      case Read::end:
      case Read::failed:
        return end(), false;
    }
  }
  return true;
}

void Http2Upstream::tell_users() {
  while (!to_tell_.empty()) {
    Http2UpstreamStream* one = to_tell_.back();
    to_tell_.pop_back();
    one->to_tell_ = false;
    one->user_.on_upstream_event();
  }
}

void Http2Upstream::write_frames() {
  if (ended_) return;
  Connection::flush();
  while (Connection::has_room() && !Connection::write_failed()) {
    const std::uint8_t* bytes = nullptr;
    const ssize_t count = nghttp2_session_mem_send(frames_.get(), &bytes);
    if (count < 0) return end();
    if (count == 0) break;
    queue(view_of(bytes, static_cast<std::size_t>(count)));
    if (!Connection::has_room()) Connection::flush();
  }
  Connection::flush();
  if (!to_tell_.empty()) again_ = true;
  if (Connection::write_failed() || (!nghttp2_session_want_read(frames_.get()) &&
                                     !nghttp2_session_want_write(frames_.get()) && !has_queued()))
    end();
}

void Http2Upstream::tell(Http2UpstreamStream& stream) {
  if (std::exchange(stream.to_tell_, true)) return;
  to_tell_.push_back(&stream);
}

void Http2Upstream::begin(Http2UpstreamStream& stream, bool with_body, const RequestHead& head) {
  FieldList fields;
  fields.add_request(stream.head_, is_tls() ? "https" : "http", head.takes_trailers);
  const std::vector<nghttp2_nv>& all = fields.finish();
  nghttp2_data_provider provider{};
  provider.read_callback = read_body;
  stream.id_ = nghttp2_submit_request(frames_.get(), nullptr, all.data(), all.size(),
                                      with_body ? &provider : nullptr, &stream);
  if (stream.id_ > 0) return;  // flush() comes
  // Of numbers for streams there are only so many.
  stream.id_ = 0;
  retired_ = true;
  stream.close(true);
}

void Http2Upstream::stream_left(Http2UpstreamStream& stream) {
  streams_.erase(&stream);
  if (stream.to_tell_) std::erase(to_tell_, &stream);
  if (stream.id_ == 0) --places_;
  if (!open_ && !ended_) retired_ = true;  // it takes too long, or nobody waits for it
  if (streams_.empty() && !ended_) {
    idle_since_ = all_.parts_.timers.now();
    if (open_) all_.parts_.timers.set(*this, all_.parts_.idle);
    if ((retired_ || all_.draining_) && frames_)
      nghttp2_session_terminate_session(frames_.get(), NGHTTP2_NO_ERROR);
  }
  if (!ended_) poke();
}

void Http2Upstream::poke() {
  again_ = true;
  if (!running_) all_.run_later(*this);
}

void Http2Upstream::end() {
  if (std::exchange(ended_, true)) return;
  for (Http2UpstreamStream* one : streams_) {
    if (one->closed_) continue;
    one->lost_ = true;
    one->close(!one->sent_);
    tell(*one);
  }
  all_.parts_.timers.clear(*this);
  Connection::close();
}

// --- what nghttp2 tells: nothing is done here but to note it -------------------------------------------

const nghttp2_session_callbacks* Http2Upstream::callbacks() {
  static const auto made = [] {
    nghttp2_session_callbacks* callbacks = nullptr;
    nghttp2_session_callbacks_new(&callbacks);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_sent);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
    return callbacks;
  }();
  return made;
}

Http2UpstreamStream* Http2Upstream::stream(std::int32_t id) const {
  return static_cast<Http2UpstreamStream*>(nghttp2_session_get_stream_user_data(frames_.get(), id));
}

int Http2Upstream::on_header(nghttp2_session*, const nghttp2_frame* frame, const std::uint8_t* name,
                             std::size_t name_size, const std::uint8_t* value, std::size_t value_size,
                             std::uint8_t, void* self) {
  auto& connection = *static_cast<Http2Upstream*>(self);
  Http2UpstreamStream* one = connection.stream(frame->hd.stream_id);
  if (!one || one->malformed_ ||
      one->text_.add_field(view_of(name, name_size), view_of(value, value_size), kLimits))
    return 0;
  one->malformed_ = connection.retired_ = true;
  return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;  // resets the stream
}

// Whoever sends without end what says nothing wants this proxy to be busy. Windows do open many times in a
// row while a body goes there.
void Http2Upstream::count(const nghttp2_frame& frame) {
  const bool brings =
      !streams_.empty() && (frame.hd.type == NGHTTP2_HEADERS ||
                            (frame.hd.type == NGHTTP2_DATA && frame.hd.length > frame.data.padlen));
  for_nothing_ = brings ? 0 : for_nothing_ + 1;
  if (for_nothing_ > kMostForNothing) useless_ = true;
}

int Http2Upstream::on_frame(nghttp2_session* frames, const nghttp2_frame* frame, void* self) {
  auto& connection = *static_cast<Http2Upstream*>(self);
  connection.count(*frame);
  switch (frame->hd.type) {
    case NGHTTP2_SETTINGS:
      if (!(frame->hd.flags & NGHTTP2_FLAG_ACK)) connection.settings_came();
      return 0;
    case NGHTTP2_GOAWAY:
      connection.retired_ = true;
      if (connection.streams_.empty()) nghttp2_session_terminate_session(frames, NGHTTP2_NO_ERROR);
      return 0;
    case NGHTTP2_HEADERS:
    case NGHTTP2_DATA:
      break;
    default:
      return 0;
  }
  Http2UpstreamStream* one = connection.stream(frame->hd.stream_id);
  if (!one || one->malformed_) return 0;
  const bool ended = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
  if (frame->hd.type == NGHTTP2_DATA) {
    if (ended) one->text_.end_body();
  } else if (!one->text_.end_fields(ended)) {
    one->malformed_ = connection.retired_ = true;
    nghttp2_submit_rst_stream(frames, NGHTTP2_FLAG_NONE, frame->hd.stream_id, NGHTTP2_PROTOCOL_ERROR);
  }
  connection.tell(*one);
  return 0;
}

int Http2Upstream::on_sent(nghttp2_session*, const nghttp2_frame* frame, void* self) {
  if (frame->hd.type == NGHTTP2_DATA) static_cast<Http2Upstream*>(self)->for_nothing_ = 0;
  if (frame->hd.type != NGHTTP2_HEADERS) return 0;
  Http2UpstreamStream* one = static_cast<Http2Upstream*>(self)->stream(frame->hd.stream_id);
  if (!one) return 0;
  one->sent_ = true;
  if (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) one->sent_all_ = true;
  return 0;
}

// The connection's window is for all of its streams: a client that does not take its answer holds back its
// own stream, by that one's window, and nobody else's.
int Http2Upstream::on_data(nghttp2_session* frames, std::uint8_t, std::int32_t id, const std::uint8_t* data,
                           std::size_t size, void* self) {
  auto& connection = *static_cast<Http2Upstream*>(self);
  nghttp2_session_consume_connection(frames, size);
  Http2UpstreamStream* one = connection.stream(id);
  if (!one || one->malformed_) return 0;
  one->text_.add_data(view_of(data, size));
  connection.tell(*one);
  return 0;
}

int Http2Upstream::on_stream_close(nghttp2_session*, std::int32_t id, std::uint32_t error, void* self) {
  auto& connection = *static_cast<Http2Upstream*>(self);
  --connection.places_;
  Http2UpstreamStream* one = connection.stream(id);
  if (!one) return 0;
  one->close(error == NGHTTP2_REFUSED_STREAM);
  connection.tell(*one);
  return 0;
}

ssize_t Http2Upstream::read_body(nghttp2_session* frames, std::int32_t id, std::uint8_t* to, std::size_t size,
                                 std::uint32_t* flags, nghttp2_data_source*, void* self) {
  auto& connection = *static_cast<Http2Upstream*>(self);
  Http2UpstreamStream* one = connection.stream(id);
  if (!one) return NGHTTP2_ERR_DEFERRED;  // it has left, and its reset is on the way
  const ssize_t count = one->give(to, size, *flags);
  if (count >= 0 && (*flags & NGHTTP2_DATA_FLAG_EOF) && !one->trailers_.empty()) {
    *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
    FieldList fields;
    for (const auto& [name, value] : one->trailers_) fields.add(name, value);
    const std::vector<nghttp2_nv>& all = fields.finish();
    nghttp2_submit_trailer(frames, id, all.data(), all.size());
  }
  if (one->wants_room_ && one->body_.size() - one->given_ <= Connection::kMostQueued / 2) {
    one->wants_room_ = false;
    connection.tell(*one);
  }
  return count;
}

}  // namespace berth::proxy
