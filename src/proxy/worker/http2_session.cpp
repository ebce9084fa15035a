// SPDX-License-Identifier: Apache-2.0
#include "proxy/worker/http2_session.h"

#include <algorithm>

#include "proxy/worker/http2_fields.h"

namespace berth::proxy {
namespace {

constexpr std::int64_t kGraceToAsk = 500;     // milliseconds, while the proxy ends
constexpr std::int64_t kRateWindow = 10'000;  // milliseconds, of what is asked of streams
constexpr std::uint32_t kMostStreams = 100;
constexpr std::int32_t kConnectionWindow = 1 << 20;
constexpr std::size_t kMostFrames = 1000;          // that wait to be sent
constexpr std::size_t kFreeResets = 100;           // that a client may make before they are held against it
constexpr unsigned kMostReads = 8;                 // before others have their turn
constexpr std::uint64_t kFreeOverhead = 8u << 20;  // bytes of frames that carry nothing
constexpr std::uint64_t kMostOverhead = 8;         // and then, for each byte that they carry

}  // namespace

Http2Session::Http2Session(Core& core, ClientHost& host, Fd socket, Ssl tls, std::string address,
                           const Client& client)
    : ClientSession(core, host, std::move(socket), std::move(tls), std::move(address), client) {}

Http2Session::~Http2Session() {
  ended_ = running_ = true;
  core_.turns.remove(turn_);
  for (auto& [id, one] : streams_) one->exchange().client_gone();
  streams_.clear();
}

const nghttp2_session_callbacks* Http2Session::callbacks() {
  static const auto made = [] {
    nghttp2_session_callbacks* callbacks = nullptr;
    nghttp2_session_callbacks_new(&callbacks);
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
    return callbacks;
  }();
  return made;
}

void Http2Session::start() {
  nghttp2_option* option = nullptr;
  nghttp2_option_new(&option);
  nghttp2_option_set_no_auto_window_update(option, 1);
  nghttp2_session* frames = nullptr;
  const int made = nghttp2_session_server_new2(&frames, callbacks(), this, option);
  nghttp2_option_del(option);
  if (made != 0) return end();
  frames_.reset(frames);
  const nghttp2_settings_entry settings[] = {
      {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, kMostStreams},
      {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, static_cast<std::uint32_t>(core_.settings.head.bytes)},
  };
  nghttp2_submit_settings(frames, NGHTTP2_FLAG_NONE, settings, std::size(settings));
  nghttp2_session_set_local_window_size(frames, NGHTTP2_FLAG_NONE, 0, kConnectionWindow);
  idle_checked_at_ = core_.timers.now();
  core_.timers.set(*this, kRateWindow);
  if (core_.draining) drain();
  run();
}

void Http2Session::on_events(std::uint32_t events) {
  if (ended_) return;
  note(events);
  reads_ = 0;
  run();
}

void Http2Session::next_round() {
  core_.turns.remove(turn_);
  reads_ = 0;
  run();
}

void Http2Session::on_deadline() {
  if (ended_) return;
  if (drain_ == Drain::told) return take_no_more();
  ask_for_a_rate();
  if (ended_) return;
  bool stays = !turned_away_;
  if (core_.timers.now() - idle_checked_at_ >= core_.settings.timeouts.idle.count()) {
    idle_checked_at_ = core_.timers.now();
    // What was long ago neither excuses what comes now nor adds to it.
    received_bytes_ /= 2;
    carried_bytes_ /= 2;
    stays = check_that_it_moves() && stays;
    if (ended_) return;
  }
  if (stays) return core_.timers.set(*this, kRateWindow);
  end();
  host_.client_closed(*this);
}

// The connection may be busy: each stream is asked by itself.
void Http2Session::ask_for_a_rate() {
  const auto stuck = static_cast<std::uint64_t>(
      std::ranges::count_if(streams_, [](auto& one) { return one.second->answer_is_stuck(); }));
  const std::uint64_t given = given_bytes_ - std::exchange(checked_given_bytes_, given_bytes_);
  const Http2Stream::Window window{
      .may_send = !held_back_ && nghttp2_session_get_local_window_size(frames_.get()) > 0,
      .others_move = given >= Http2Stream::kLeastBytes * stuck};
  bool any = false;
  for (auto& [id, one] : streams_) {
    if (one->closed_ || one->check_rate(window)) continue;
    any = true;
    if (one->is_answered()) {
      one->want_no_more();
      continue;
    }
    const bool answerable = one->begun_ && one->exchange().active() && !one->exchange().answer_begun();
    one->exchange().client_gone();
    if (answerable)
      one->refuse(408);
    else
      one->cut_answer();
  }
  if (any) run();
}

// False: it asks for nothing, or stands still while something waits for it.
bool Http2Session::check_that_it_moves() {
  const bool moved = std::exchange(checked_bytes_, moved_bytes_) != moved_bytes_;
  const bool waited_for = std::ranges::any_of(streams_, [](auto& one) {
    return one.second->exchange().waits_for_client() || one.second->answer_is_stuck() ||
           !one.second->exchange().active();
  });
  // Streams whose answers have begun may be quiet both ways, as those of gRPC are: it is enough that the
  // client is there.
  const bool quiet = !streams_.empty() && std::ranges::all_of(streams_, [](auto& one) {
    return one.second->exchange().active() && one.second->exchange().answer_begun() &&
           !one.second->answer_is_stuck();
  });
  if (!moved && (streams_.empty() || waited_for) && (!quiet || asked_)) return false;
  asked_ = !moved && quiet && waited_for;
  if (!asked_) return true;
  nghttp2_submit_ping(frames_.get(), NGHTTP2_FLAG_NONE, nullptr);
  run();
  checked_bytes_ = moved_bytes_;
  return true;
}

// In two steps (RFC 9113, section 6.8): streams that were begun before the client could know are served.
void Http2Session::drain() {
  if (ended_ || !frames_ || drain_ != Drain::no) return;
  drain_ = Drain::told;
  nghttp2_submit_shutdown_notice(frames_.get());
  core_.timers.set(*this, kGraceToAsk);
  run();
}

void Http2Session::take_no_more() {
  drain_ = Drain::over;
  nghttp2_submit_goaway(frames_.get(), NGHTTP2_FLAG_NONE,
                        nghttp2_session_get_last_proc_stream_id(frames_.get()), NGHTTP2_NO_ERROR, nullptr, 0);
  core_.timers.set(*this, kRateWindow);
  run();
}

// What happens within may call this again: it goes round once more, not inside.
void Http2Session::run() {
  if (ended_) return;
  again_ = true;
  if (running_) return;
  running_ = true;
  while (std::exchange(again_, false) && !ended_) {
    read_frames();
    step_streams();
    if (!ended_) write_frames();
  }
  bury_closed();
  running_ = false;
  if (ended_) host_.client_closed(*this);
}

bool Http2Session::take_bytes(std::string_view bytes) {
  const ssize_t used = nghttp2_session_mem_recv(
      frames_.get(), reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
  moved_bytes_ += bytes.size();
  received_bytes_ += bytes.size();
  if (used < 0) return end(), false;
  // Each thing that it may not do has an answer, which a client that does not read lets lie here.
  if (nghttp2_session_get_outbound_queue_size(frames_.get()) > kMostFrames) return end(), false;
  turn_away_if_a_nuisance();
  again_ = true;
  return true;
}

void Http2Session::turn_away_if_a_nuisance() {
  const bool resets = reset_ > kFreeResets && reset_ > begun_ / 2;
  const bool empty = received_bytes_ > kFreeOverhead + kMostOverhead * carried_bytes_;
  if ((!resets && !empty) || std::exchange(turned_away_, true)) return;
  core_.counters.refused.add();
  nghttp2_session_terminate_session(frames_.get(), NGHTTP2_ENHANCE_YOUR_CALM);
}

void Http2Session::read_frames() {
  if (!first_bytes_.empty() && !take_bytes(std::exchange(first_bytes_, {}))) return;
  for (;;) {
    // Who does not read the answers is not heard either.
    if (held_back_ = !has_room(); held_back_) return;
    if (reads_ == kMostReads) return core_.turns.add(*this, turn_);
    ++reads_;
    switch (read_more()) {
      case Read::data:
        if (!take_bytes(input())) return;
        use(input().size());
        break;
      case Read::blocked:
      case Read::full:
        return;
      case Read::end:
      case Read::failed:
        return end();
    }
  }
}

void Http2Session::step_later(Http2Stream& stream) {
  if (std::exchange(stream.to_step_, true)) return;
  to_step_.push_back(stream.id());
}

void Http2Session::step_streams() {
  while (!to_step_.empty() && !ended_) {
    Http2Stream* one = stream(to_step_.back());
    to_step_.pop_back();
    if (!one) continue;
    one->to_step_ = false;
    if (one->exchange().active()) one->exchange().go_on();
  }
}

void Http2Session::write_frames() {
  flush();
  while (has_room() && !write_failed()) {
    const std::uint8_t* bytes = nullptr;
    const ssize_t count = nghttp2_session_mem_send(frames_.get(), &bytes);
    if (count < 0) return end();
    if (count == 0) break;
    queue(view_of(bytes, static_cast<std::size_t>(count)));
    moved_bytes_ += static_cast<std::size_t>(count);
    if (!has_room()) flush();
  }
  flush();
  if (!to_step_.empty() || (held_back_ && has_room())) again_ = true;
  if (write_failed() || (!nghttp2_session_want_read(frames_.get()) &&
                         !nghttp2_session_want_write(frames_.get()) && !has_queued()))
    end();
}

void Http2Session::bury_closed() {
  for (const std::int32_t id : closed_streams_) streams_.erase(id);
  closed_streams_.clear();
}

void Http2Session::end() {
  if (std::exchange(ended_, true)) return;
  for (auto& [id, one] : streams_) one->exchange().client_gone();
  core_.timers.clear(*this);
  close();
}

Http2Stream* Http2Session::stream(std::int32_t id) {
  const auto found = streams_.find(id);
  return found == streams_.end() || found->second->closed_ ? nullptr : found->second.get();
}

int Http2Session::on_begin_headers(nghttp2_session*, const nghttp2_frame* frame, void* self) {
  auto& session = *static_cast<Http2Session*>(self);
  if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST) return 0;
  ++session.begun_;
  session.streams_[frame->hd.stream_id] =
      std::make_unique<Http2Stream>(session.core_, session, frame->hd.stream_id);
  return 0;
}

int Http2Session::on_header(nghttp2_session*, const nghttp2_frame* frame, const std::uint8_t* name,
                            std::size_t name_size, const std::uint8_t* value, std::size_t value_size,
                            std::uint8_t, void* self) {
  auto& session = *static_cast<Http2Session*>(self);
  session.carried(name_size + value_size);
  Http2Stream* one = session.stream(frame->hd.stream_id);
  if (!one || one->add_field(view_of(name, name_size), view_of(value, value_size))) return 0;
  return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;  // resets the stream
}

int Http2Session::on_frame(nghttp2_session*, const nghttp2_frame* frame, void* self) {
  auto& session = *static_cast<Http2Session*>(self);
  if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA) {
    if (frame->hd.type == NGHTTP2_WINDOW_UPDATE) session.again_ = true;
    return 0;
  }
  Http2Stream* one = session.stream(frame->hd.stream_id);
  if (!one) return 0;
  const bool ended = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
  if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST) one->begin(!ended);
  if (ended) one->end_body();
  session.step_later(*one);
  return 0;
}

int Http2Session::on_data(nghttp2_session* frames, std::uint8_t, std::int32_t id, const std::uint8_t* data,
                          std::size_t size, void* self) {
  auto& session = *static_cast<Http2Session*>(self);
  session.carried(size);
  Http2Stream* one = session.stream(id);
  if (!one || !one->exchange().active()) {
    nghttp2_session_consume(frames, id, size);  // nobody reads it: the others' window must not suffer
    if (one) one->drop_body(size);
    return 0;
  }
  one->add_body(view_of(data, size));
  session.step_later(*one);
  return 0;
}

int Http2Session::on_stream_close(nghttp2_session*, std::int32_t id, std::uint32_t, void* self) {
  auto& session = *static_cast<Http2Session*>(self);
  Http2Stream* one = session.stream(id);
  if (!one) return 0;
  one->closed_ = true;
  // By the client, or by what it did: each costs a request begun at a backend.
  if (one->exchange().active()) ++session.reset_;
  one->exchange().client_gone();
  // What nobody took of its body counts against the connection's window, which the other streams share.
  nghttp2_session_consume_connection(session.frames(), one->untaken_body());
  session.closed_streams_.push_back(id);
  return 0;
}

}  // namespace berth::proxy
