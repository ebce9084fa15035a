// SPDX-License-Identifier: Apache-2.0
#include "proxy/worker/client_connection.h"

#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "proxy/worker/forwarded_head.h"
#include "proxy/worker/own_answer.h"

namespace berth::proxy {
namespace {

constexpr std::int64_t kLingerMilliseconds = 2'000;
constexpr std::int64_t kGraceToAsk = 2'000;  // while the proxy ends
constexpr std::int64_t kGraceToGoOn = 250;
constexpr std::size_t kMostLingered = 16u << 20;  // what a client sends that has not seen the answer yet
constexpr std::int64_t kRateWindow = 10'000;      // milliseconds
constexpr std::int64_t kDrainWindow = 5'000;
constexpr std::int64_t kLeastBytes = 2'400;  // in a window, of a client that is waited for
constexpr std::int64_t kReadGrace = 4'000;   // behind a window, for who does not seem to read
constexpr unsigned kMostSteps = 64;          // before others have their turn
constexpr std::size_t kKeptHead = 4u << 10;
constexpr std::string_view kHttp2Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";  // RFC 9113, section 3.4

}  // namespace

ClientConnection::ClientConnection(Core& core, ClientHost& host, Fd socket, Ssl tls, std::string address,
                                   const Client& client)
    : ClientSession(core, host, std::move(socket), std::move(tls), std::move(address), client),
      exchange_(core, *this) {}

void ClientConnection::start() {
  may_be_http2_ = !is_tls();  // with TLS it would have said so there
  core_.timers.set(*this, core_.draining ? kGraceToAsk : core_.settings.timeouts.head.count());
  run();
}

void ClientConnection::on_events(std::uint32_t events) {
  if (phase_ == Phase::closed) return;
  note(events);
  run();
}

// What happens within a step may wake this again: it goes on with the next step, not inside of the last.
void ClientConnection::run() {
  if (running_ || phase_ == Phase::closed) return;
  running_ = true;
  unsigned steps = 0;
  while (steps < kMostSteps && step()) ++steps;
  running_ = false;
  if (steps == kMostSteps) exchange_.wait_for_turn();
  if (phase_ == Phase::closed) host_.client_closed(*this);
  if (phase_ == Phase::handed_over) {
    core_.timers.clear(*this);
    host_.client_speaks_http2(*this);
    phase_ = Phase::closed;
  }
}

// Whether there may be more to do.
bool ClientConnection::step() {
  switch (phase_) {
    case Phase::head:
      flush();
      if (write_failed()) return finish_closing(), false;
      // Who asks and does not read the answers is not asked for more.
      return has_room() && read_head();
    case Phase::exchange:
      if (write_failed() || (hung_up() && !has_queued() && exchange_.answer_begun())) exchange_.client_gone();
      if (exchange_.active()) exchange_.go_on();
      if (exchange_.active()) return watch_client(), false;
      end_exchange();
      return phase_ != Phase::closed;
    case Phase::lingering:
      return linger();
    case Phase::closed:
    case Phase::handed_over:
      break;
  }
  return false;
}

// As far as it has come. No request of HTTP/1 begins like this.
bool ClientConnection::begins_as_http2() {
  may_be_http2_ = kHttp2Preface.starts_with(input().substr(0, kHttp2Preface.size()));
  if (may_be_http2_ && input().size() >= kHttp2Preface.size()) phase_ = Phase::handed_over;
  return may_be_http2_;
}

bool ClientConnection::read_head() {
  // An empty line in front of a request is let pass, once: old clients send one behind a body.
  if (!skipped_line_ && input().starts_with("\r\n")) {
    use(2);
    search_.reset();
    skipped_line_ = true;
  }
  const bool unclear = may_be_http2_ && !input().empty() && begins_as_http2();
  if (phase_ == Phase::handed_over) return false;
  const Parsed<std::size_t> length =
      unclear ? Parsed<std::size_t>(0) : search_.find(input(), core_.settings.head);
  if (!length) return refuse(length.error()), true;
  if (*length > 0) return begin_exchange(*length), true;
  if (!input().empty() && !head_began_) {
    head_began_ = true;
    core_.timers.set(*this, core_.settings.timeouts.head.count());
  }
  switch (read_more()) {
    case Read::data:
      return true;
    case Read::blocked:
      return false;
    case Read::full:
      return refuse({431, "a longer head than is taken"}), true;
    case Read::end:
      // It asks for nothing more; of what it asked for some may be on the way still.
      if (has_queued()) return begin_lingering(kRateWindow), true;
      [[fallthrough]];
    case Read::failed:
      finish_closing();
      return false;
  }
  return false;
}

void ClientConnection::begin_exchange(std::size_t head_length) {
  head_text_.assign(input().substr(0, head_length));
  use(head_length);
  search_.reset();
  head_began_ = skipped_line_ = false;
  asked_once_ = true;
  if (const Parsed<void> parsed = parse_request_head(head_text_, core_.settings.head, head_); !parsed)
    return refuse(parsed.error());
  phase_ = Phase::exchange;
  keep_alive_ = head_.keep_alive && !core_.draining;
  asks_no_more_ = !head_.keep_alive && head_.framing.kind == Framing::Kind::none && !is_tls();
  answer_ended_ = stuck_ = ends_by_close_ = false;
  body_.begin(head_.framing, head_.fields);
  told_to_continue_ = false;
  seen_bytes_ = checked_bytes_ = 0;
  still_ = false;
  core_.timers.set(*this, kRateWindow);
  exchange_.start(head_, client_);
}

// The connection is of no use any more: nobody knows where the next request would begin.
void ClientConnection::refuse(const Refusal& refusal) {
  core_.counters.refused.add();
  keep_alive_ = asks_no_more_ = false;
  body_.begin({});
  const OwnAnswer answer(core_.pages, refusal.status, head_text_.starts_with("HEAD "));
  append_answer_head(queued(), answer.head(), {.keep_alive = false});
  queue(answer.body());
  core_.counters.answered(refusal.status, 0);
  core_.log.add({.client = address_,
                 .method = "-",
                 .target = refusal.rule,
                 .referrer = {},
                 .agent = {},
                 .host = "-",
                 .id = {},
                 .status = refusal.status,
                 .bytes = answer.body().size()});
  answer_ended_ = true;
  end_exchange();
}

void ClientConnection::end_exchange() {
  flush();
  head_text_.clear();
  if (head_text_.capacity() > kKeptHead) head_text_.shrink_to_fit();
  // A request whose body was not read to its end takes the connection with it.
  if (!answer_ended_ || write_failed()) return finish_closing();
  if (keep_alive_ && body_.ended() && !core_.draining) {
    phase_ = Phase::head;
    core_.timers.set(*this, core_.settings.timeouts.idle.count());
    return;
  }
  // Whoever said that this was the last request sends nothing more that would call for a reset.
  if (asks_no_more_ && body_.ended() && !has_queued() && input().empty() && !has_unread())
    return finish_closing();
  begin_lingering(has_queued() ? kRateWindow : kLingerMilliseconds);
}

void ClientConnection::begin_lingering(std::int64_t milliseconds) {
  phase_ = Phase::lingering;
  lingered_ = 0;
  end_writing();
  checked_bytes_ = moved_bytes();
  core_.timers.set(*this, milliseconds);
}

// An answer that a reset overtakes is lost: what the client still sends is read, for a while.
bool ClientConnection::linger() {
  flush();
  if (write_failed()) return finish_closing(), false;
  use(input().size());
  switch (read_more()) {
    case Read::data:
      lingered_ += input().size();
      if (lingered_ > kMostLingered) return finish_closing(), false;
      return true;
    case Read::blocked:
    case Read::full:
      return false;
    case Read::end:
      if (has_queued()) return false;
      [[fallthrough]];
    case Read::failed:
      finish_closing();
      return false;
  }
  return false;
}

void ClientConnection::finish_closing() {
  phase_ = Phase::closed;
  core_.timers.clear(*this);
  close();
}

// What a client asked before it could know is answered: who has just connected has a while to ask, and who
// was idle a moment, for what is on its way already.
void ClientConnection::drain() {
  keep_alive_ = false;
  run();
  if (phase_ == Phase::closed || !idle()) return;
  if (has_queued()) return begin_lingering(kDrainWindow);
  core_.timers.set(*this, asked_once_ ? kGraceToGoOn : kGraceToAsk);
}

void ClientConnection::on_deadline() {
  if (phase_ == Phase::closed) return;
  const std::int64_t moved = moved_bytes();
  const std::int64_t bytes = moved - std::exchange(checked_bytes_, moved);
  if (phase_ == Phase::exchange) {
    const bool waited_for = exchange_.waits_for_client() || answer_is_stuck();
    core_.timers.set(*this, kRateWindow);
    if (!waited_for || bytes >= kLeastBytes) {
      still_ = false;
      return;
    }
    // Who reads slowly is not seen to: the kernel there says so only when a good part of what it holds was
    // read.
    if (answer_is_stuck() && !std::exchange(still_, true)) return core_.timers.set(*this, kReadGrace);
    if (exchange_.waits_for_client() && !exchange_.answer_begun()) {
      exchange_.client_gone();
      refuse({408, "a body that comes more slowly than is waited for"});
    } else {
      exchange_.client_gone();
      finish_closing();
    }
  } else if (phase_ == Phase::lingering && has_queued() && !write_failed() && bytes >= kLeastBytes) {
    core_.timers.set(*this, kRateWindow);  // the answer's end still goes there
  } else if (phase_ == Phase::head && head_began_) {
    refuse({408, "a head that did not come in time"});
  } else {
    finish_closing();
  }
  if (phase_ == Phase::closed)
    host_.client_closed(*this);
  else
    run();
}

bool ClientConnection::has_unread() const noexcept {
  int count = 0;
  return ioctl(descriptor(), FIONREAD, &count) != 0 || count > 0;
}

// Those that have arrived. What the kernel has taken may lie there: it takes more only when a good part is
// gone.
std::int64_t ClientConnection::moved_bytes() const noexcept {
  int unsent = 0;
  if (ioctl(descriptor(), SIOCOUTQ, &unsent) != 0) unsent = 0;
  return seen_bytes_ - unsent - static_cast<std::int64_t>(queued_size());
}

void ClientConnection::watch_client() {
  if (hung_up()) {
    exchange_.client_gone();
    finish_closing();
  }
}

Parsed<BodyReader::Piece> ClientConnection::body() {
  for (;;) {
    const Parsed<BodyReader::Piece> piece = body_.next(input(), core_.settings.head);
    if (!piece) {
      keep_alive_ = false;
      return piece;
    }
    use(piece->used_before);
    if (piece->ended || !piece->data.empty())
      return BodyReader::Piece{.data = piece->data, .ended = piece->ended};
    const std::size_t before = input().size();
    switch (read_more()) {
      case Read::data:
        seen_bytes_ += static_cast<std::int64_t>(input().size() - before);
        continue;
      case Read::blocked:
        return BodyReader::Piece{};
      case Read::full:
        return std::unexpected(Refusal{400, "a longer line than chunks have"});
      case Read::end:
      case Read::failed:
        keep_alive_ = false;
        return std::unexpected(Refusal{400, "a body that was cut"});
    }
  }
}

void ClientConnection::body_took(std::size_t count) {
  body_.took(count);
  use(count);
}

void ClientConnection::informational(int status, std::string_view reason, const Fields& fields) {
  if (head_.minor_version < 1 || !has_room())
    return;  // a client that does not read has no use for more of them
  told_to_continue_ = told_to_continue_ || status == 100;
  std::string& out = queued();
  append_answer_head(
      out, {.status = status, .reason = reason, .fields = &fields, .framing = {}, .extra_lines = {}}, {});
}

void ClientConnection::begin_answer(const AnswerHead& head) {
  AnswerForm form{.framing = head.framing.kind,
                  .minor_version = head_.minor_version,
                  .keep_alive = true,
                  .is_head = head_.is_head};
  const bool unknown = form.framing == Framing::Kind::chunked || form.framing == Framing::Kind::until_close;
  if (unknown) form.framing = head_.minor_version == 1 ? Framing::Kind::chunked : Framing::Kind::until_close;
  if (form.framing == Framing::Kind::until_close) keep_alive_ = false;
  // A body that is not asked for may come or not: nobody knows where the next request would begin.
  const bool unasked = head_.expects_continue && !told_to_continue_ && input().empty();
  if ((head.reads_no_more || unasked) && !body_.ended()) keep_alive_ = false;
  form.keep_alive = keep_alive_ = keep_alive_ && !core_.draining;
  ends_by_close_ = form.framing == Framing::Kind::until_close;
  answer_writer_.begin(form.framing);
  append_answer_head(queued(), head, form);
}

std::size_t ClientConnection::answer_body(std::string_view data) {
  const std::size_t taken = answer_writer_.write(*this, data);
  seen_bytes_ += static_cast<std::int64_t>(taken);
  stuck_ = taken < data.size();
  return taken;
}

void ClientConnection::end_answer(const Fields& trailers) {
  answer_writer_.end(*this, trailers);
  answer_ended_ = true;
}

// Where the connection's end is the answer's, only a reset says that it was cut.
void ClientConnection::cut_answer() {
  keep_alive_ = false;
  answer_ended_ = false;
  flush();
  const struct linger reset { .l_onoff = 1, .l_linger = 0 };
  if (ends_by_close_) setsockopt(descriptor(), SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
}

}  // namespace berth::proxy
