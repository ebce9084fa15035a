// SPDX-License-Identifier: Apache-2.0
#include "proxy/worker/http2_session.h"

#include <algorithm>
#include <cstring>

#include "proxy/http1/characters.h"
#include "proxy/worker/http2_fields.h"
#include "proxy/worker/own_answer.h"

namespace berth::proxy {
namespace {

constexpr std::int64_t kGraceToAsk = 500;  // milliseconds, while the proxy ends
constexpr std::uint32_t kMostStreams = 100;
constexpr std::int32_t kConnectionWindow = 1 << 20;
constexpr std::size_t kMostAnswer = 64u << 10;     // of a stream, that waits for the client's window
constexpr std::size_t kMostUsed = 32u << 10;       // that is still in front of what is not used yet
constexpr std::size_t kMostFrames = 1000;          // that wait to be sent
constexpr unsigned kMostInformational = 16;        // of an answer
constexpr std::size_t kFreeResets = 100;           // that a client may make before they are held against it
constexpr std::size_t kMostUnasked = 256u << 10;   // of a request that is answered already
constexpr unsigned kMostReads = 8;                 // before others have their turn
constexpr std::uint64_t kFreeOverhead = 8u << 20;  // bytes of frames that carry nothing
constexpr std::uint64_t kMostOverhead = 8;         // and then, for each byte that they carry
// What is asked of a stream that waits for its client. An upload has its turn like all others; an answer may
// be behind others on a thin line.
constexpr std::int64_t kRateWindow = 10'000;                // milliseconds
constexpr std::uint64_t kLeastBytes = 2'400;                // in a window
constexpr unsigned kStillForBody = 2, kStillForAnswer = 7;  // windows, the one among them in which it began

ssize_t read_answer(nghttp2_session*, std::int32_t, std::uint8_t* buffer, std::size_t size,
                    std::uint32_t* flags, nghttp2_data_source* source, void*) {
  return static_cast<Http2Stream*>(source->ptr)->give_answer(buffer, size, *flags);
}

}  // namespace

// --- a stream
// ------------------------------------------------------------------------------------------------

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

// The answer is whole, and its request is not.
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
bool Http2Stream::may_wait_on(const Window& window) {
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

// --- the connection
// ------------------------------------------------------------------------------------------

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
  const bool due = core_.timers.now() - idle_checked_at_ >= core_.settings.timeouts.idle.count();
  if (!ended_ && (turned_away_ || (due && is_idle_or_gone()))) {
    end();
    return host_.client_closed(*this);
  }
  if (!ended_) core_.timers.set(*this, kRateWindow);
}

// The connection may be busy: each stream is asked by itself.
void Http2Session::ask_for_a_rate() {
  const auto stuck = static_cast<std::uint64_t>(
      std::ranges::count_if(streams_, [](auto& one) { return one.second->answer_is_stuck(); }));
  const std::uint64_t given = given_bytes_ - std::exchange(checked_given_bytes_, given_bytes_);
  const Http2Stream::Window window{
      .may_send = !held_back_ && nghttp2_session_get_local_window_size(frames_.get()) > 0,
      .others_move = given >= kLeastBytes * stuck};
  bool any = false;
  for (auto& [id, one] : streams_) {
    if (one->closed_ || one->may_wait_on(window)) continue;
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

// Whether it asks for nothing, or stands still while something waits for it.
bool Http2Session::is_idle_or_gone() {
  idle_checked_at_ = core_.timers.now();
  // What was long ago neither excuses what comes now nor adds to it.
  received_bytes_ /= 2;
  carried_bytes_ /= 2;
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
  if (!moved && (streams_.empty() || waited_for) && (!quiet || asked_)) return true;
  asked_ = !moved && quiet && waited_for;
  if (!asked_) return false;
  nghttp2_submit_ping(frames_.get(), NGHTTP2_FLAG_NONE, nullptr);
  run();
  checked_bytes_ = moved_bytes_;
  return false;
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
    if (one && one->is_answered() && (one->unasked_ += size) > kMostUnasked) one->want_no_more();
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
