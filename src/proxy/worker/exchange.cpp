// SPDX-License-Identifier: Apache-2.0
#include "proxy/worker/exchange.h"

#include "proxy/worker/balance.h"
#include "proxy/worker/clock.h"
#include "proxy/worker/forwarded_head.h"
#include "proxy/worker/mirrored_request.h"
#include "proxy/worker/own_answer.h"
#include "proxy/worker/websocket.h"

namespace berth::proxy {
namespace {

constexpr std::int64_t kTunnelIdle = 3'600'000;  // milliseconds that a WebSocket may say nothing
constexpr unsigned kMostAtOnce = 32;             // pieces that are relayed before others have their turn
constexpr unsigned kMostLostIdle = 3;            // connections that were closed while a request came
constexpr std::string_view kStickyCookie = "berth-backend";

std::string_view cookie_of(const RequestHead& head, std::string_view name) {
  for (const Field& field : head.fields) {
    if (field.known != KnownField::cookie) continue;
    std::string_view rest = field.value;
    while (!rest.empty()) {
      const std::size_t end = std::min(rest.find(';'), rest.size());
      const std::string_view one = rest.substr(0, end);
      if (one.size() > name.size() && one.starts_with(name) && one[name.size()] == '=')
        return one.substr(name.size() + 1);
      rest.remove_prefix(std::min(end + 1, rest.size()));
      while (rest.starts_with(' ')) rest.remove_prefix(1);
    }
  }
  return {};
}

}  // namespace

Exchange::~Exchange() {
  leave_waiting();
  let_go(false);
  if (counted_) counted_->in_flight.fetch_sub(1, std::memory_order_relaxed);
}

void Exchange::next_round() {
  core_.turns.remove(turn_);
  if (active()) go_on();
  downstream_.wake();
}

std::int64_t Exchange::connect_timeout() const noexcept {
  return (policy() ? policy()->connect_timeout : std::nullopt)
      .value_or(core_.settings.timeouts.connect)
      .count();
}

std::int64_t Exchange::answer_timeout() const noexcept {
  return (policy() ? policy()->answer_timeout : std::nullopt)
      .value_or(core_.settings.timeouts.backend)
      .count();
}

void Exchange::attempt() {
  for (;;) {
    const Choosing choosing{
        .now = core_.timers.now(),
        .canary = canary_,
        .tried = tried_,
        .sticky = route_->options.sticky ? cookie_of(*head_, kStickyCookie) : std::string_view(),
        .client = client_->address};
    const std::optional<std::size_t> chosen = choose_backend(*route_, choosing, core_.random);
    if (!chosen) return answer_here(failed_with_);
    backend_ = *chosen;
    const std::shared_ptr<Endpoint>& endpoint = route_->backends[backend_].endpoint;
    if (leaves_prefix(*route_, route_->backends[backend_], head_->target)) return answer_here(400);
    if (head_->websocket && endpoint->protocol == Protocol::http2) return answer_here(501);
    ++attempts_;
    if (!fresh_) upstream_ = core_.upstreams.take_idle(*endpoint, *this, head_->idempotent);
    fresh_ = false;
    if (upstream_) break;
    std::expected<Upstream, NoWay> connecting = core_.upstreams.connect(endpoint, *this);
    if (connecting) {
      upstream_ = std::move(*connecting);
      break;
    }
    if (connecting.error() == NoWay::backend) {
      mark_dead();
    } else {
      exclude_backend();
      failed_with_ = 503;
    }
    if (!may_try_again(Failure::unreachable)) return answer_here(failed_with_);
  }
  Endpoint& endpoint = upstream_->endpoint();
  endpoint.in_flight.fetch_add(1, std::memory_order_relaxed);
  endpoint.requests.fetch_add(1, std::memory_order_relaxed);
  sent_ = heard_ = request_done_ = false;
  new_attempt_ = true;
  answer_search_.reset();
  stage_ = Stage::connecting;
  core_.timers.set(*upstream_, connect_timeout());
  if (upstream_->reused()) send_head();
}

void Exchange::send_head() {
  stage_ = Stage::relaying;
  sent_ = true;
  connected_at_ = microseconds();
  append_request_head(upstream_->request_head(), *head_, *client_, *route_, route_->backends[backend_],
                      {.keep_alive = core_.settings.backend_keep_alive, .user = user_});
  upstream_->begin_body(*head_);
  core_.timers.set(*upstream_, answer_timeout());
}

void Exchange::go_on() {
  do {
    new_attempt_ = false;
    go_on_once();
  } while (new_attempt_);
}

void Exchange::go_on_once() {
  if (stage_ == Stage::connecting) {
    switch (upstream_->connected()) {
      case UpstreamLink::Progress::waiting:
        return;
      case UpstreamLink::Progress::failed:
        return upstream_failed(Failure::unreachable);
      case UpstreamLink::Progress::connected:
        send_head();
    }
  }
  if (stage_ == Stage::tunnel) return relay_tunnel();
  if (stage_ == Stage::relaying) relay_request();
  if (stage_ == Stage::relaying) relay_answer();
}

void Exchange::relay_request() {
  has_no_more_body_ = false;
  if (!returned_.empty() && !send_returned()) return upstream_->flush();
  for (unsigned pieces = 0; !request_done_ && !upstream_->write_failed(); ++pieces) {
    if (pieces == kMostAtOnce) {
      wait_for_turn();
      break;
    }
    const Parsed<BodyReader::Piece> piece = downstream_.body();
    if (!piece) return refuse_body(piece.error());
    if (piece->ended) {
      upstream_->end_body(passed_trailers(downstream_.body_trailers(), *route_));
      request_done_ = true;
      if (mirror_) end_mirror();
    } else if (piece->data.empty()) {
      has_no_more_body_ = true;
      break;
    } else {
      const std::size_t taken = upstream_->write_body(piece->data);
      if (taken > 0) {
        body_touched_ = true;
        request_bytes_ += taken;
        if (policy() && policy()->limits.body > 0 && request_bytes_ > policy()->limits.body)
          return refuse_body({413, "a longer body than the route takes"});
        if (mirror_) feed_mirror(piece->data.substr(0, taken));
        downstream_.body_took(taken);
        core_.timers.set(*upstream_, answer_timeout());
      }
      if (taken < piece->data.size()) break;
    }
  }
  upstream_->flush();
  if (upstream_->write_failed())
    request_done_ = true;  // the answer may be there all the same: why it did not
}

// It waits for the backend then, not the other way round.
bool Exchange::asks_whether_to_send() const noexcept {
  return head_->expects_continue && !continued_ && !body_touched_ && !answer_begun_;
}

bool Exchange::send_returned() {
  body_touched_ = true;
  if (upstream_->write_failed()) return true;  // it takes nothing: all is to be there for the next
  returned_.erase(0, upstream_->write_body(returned_));
  return returned_.empty();
}

void Exchange::relay_answer() {
  unsigned pieces = 0;
  for (; pieces < kMostAtOnce; ++pieces) {
    if (!answer_begun_ ? !read_answer_head() : !relay_answer_body()) break;
    if (stage_ != Stage::relaying) break;
  }
  if (pieces == kMostAtOnce) wait_for_turn();
  if (stage_ == Stage::relaying || stage_ == Stage::tunnel) downstream_.flush_answer();
  if (stage_ == Stage::tunnel) relay_tunnel();
}

bool Exchange::read_answer_head() {
  const Parsed<std::size_t> length = answer_search_.find(upstream_->input(), core_.settings.head);
  if (!length) return upstream_failed(Failure::malformed), false;
  if (*length > 0) {
    const Parsed<void> parsed =
        parse_response_head(upstream_->input().substr(0, *length), core_.settings.head, *head_, answer_);
    if (!parsed) return upstream_failed(Failure::malformed), false;
    const bool more = take_answer_head();
    if (upstream_) upstream_->use(*length);
    answer_search_.reset();
    return more;
  }
  switch (upstream_->read_more()) {
    case Connection::Read::data:
      heard_ = true;
      return true;
    case Connection::Read::blocked:
      return false;
    case Connection::Read::full:
      return upstream_failed(Failure::malformed), false;
    case Connection::Read::end:
    case Connection::Read::failed:
      return upstream_failed(upstream_->input().empty() ? Failure::closed : Failure::malformed), false;
  }
  return false;
}

bool Exchange::take_answer_head() {
  if (answer_.status == 101) {
    if (!is_agreed() || !downstream_.tunnel() || !upstream_->tunnel())
      return upstream_failed(Failure::malformed), false;
    begin_answer();
    stage_ = Stage::tunnel;
    return false;
  }
  if (answer_.status < 200) {
    continued_ = continued_ || answer_.status == 100;
    if (answer_.status != 100 || head_->expects_continue)
      downstream_.informational(answer_.status, answer_.reason, answer_.fields);
    return true;
  }
  const bool dying = answer_.status > 500 ? answer_.status != 503
                                          : answer_.status == 500 && core_.settings.dead_backend_on_500;
  if (dying) mark_dead();
  begin_answer();
  return true;
}

// Whoever does not know the key did not read the request as one for WebSocket.
bool Exchange::is_agreed() const {
  if (!answer_.websocket || !head_->websocket) return false;
  return find_field(answer_.fields, KnownField::sec_websocket_accept)->value ==
         websocket_accept(find_field(head_->fields, KnownField::sec_websocket_key)->value);
}

void Exchange::begin_answer() {
  answer_begun_ = true;
  status_ = answer_.status;
  backend_time_ = microseconds() - connected_at_;
  answer_reader_.begin(answer_.framing, answer_.fields);
  std::string lines;
  const Backend& backend = route_->backends[backend_];
  if (route_->options.sticky && cookie_of(*head_, kStickyCookie) != sticky_value(backend))
    lines = fmt::format("Set-Cookie: {}={}; Path=/; HttpOnly; SameSite=Lax\r\n", kStickyCookie,
                        sticky_value(backend));
  if (policy() && !policy()->answer_fields.empty()) {
    std::erase_if(answer_.fields, [&](const Field& one) { return policy()->answer_fields.drops(one.name); });
    lines += policy()->answer_fields.lines;
  }
  downstream_.begin_answer({.status = answer_.status,
                            .reason = answer_.reason,
                            .fields = &answer_.fields,
                            .framing = answer_.framing,
                            .extra_lines = lines});
}

bool Exchange::relay_answer_body() {
  const Parsed<BodyReader::Piece> piece = answer_reader_.next(upstream_->input(), core_.settings.head);
  if (!piece) return cut(), false;
  upstream_->use(piece->used_before);
  if (piece->ended) return finish(), false;
  if (piece->data.empty()) return more_of_answer();
  const std::size_t taken = downstream_.answer_body(piece->data);
  const bool all = taken == piece->data.size();
  answer_bytes_ += taken;
  answer_reader_.took(taken);
  upstream_->use(taken);
  if (taken > 0 && !is_copy_) core_.timers.set(*upstream_, answer_timeout());
  return all;
}

bool Exchange::more_of_answer() {
  switch (upstream_->read_more()) {
    case Connection::Read::data:
      return true;
    case Connection::Read::blocked:
      return false;
    case Connection::Read::end:
      if (answer_reader_.may_end_here())
        finish();
      else
        cut();
      return false;
    case Connection::Read::full:
    case Connection::Read::failed:
      cut();
      return false;
  }
  return false;
}

// A direction ends with its own FIN; the exchange ends when both have, or one is broken.
void Exchange::relay_tunnel() {
  Connection &client = *downstream_.tunnel(), &backend = *upstream_->tunnel();
  std::uint64_t up = 0, down = 0;
  const Poured upwards = pour(client, backend, up), downwards = pour(backend, client, down);
  request_bytes_ += up;
  answer_bytes_ += down;
  if (up + down > 0) core_.timers.set(*upstream_, kTunnelIdle);
  const bool over = downwards == Poured::ended && (upwards == Poured::ended || backend.hung_up());
  if (over || upwards == Poured::broken || downwards == Poured::broken || client.hung_up()) cut();
}

Exchange::Poured Exchange::pour(Connection& from, Connection& to, std::uint64_t& count) {
  to.flush();
  for (unsigned pieces = 0;; ++pieces) {
    if (pieces == kMostAtOnce) return wait_for_turn(), Poured::open;
    if (!from.input().empty()) {
      const std::size_t taken = to.write(from.input());
      count += taken;
      from.use(taken);
      if (to.write_failed()) return Poured::broken;
      if (!from.input().empty()) return Poured::open;
    }
    switch (from.read_more()) {
      case Connection::Read::data:
        break;
      case Connection::Read::end:
        to.end_writing();
        return Poured::ended;
      case Connection::Read::failed:
        return Poured::broken;
      case Connection::Read::blocked:
      case Connection::Read::full:
        return Poured::open;
    }
  }
}

void Exchange::on_upstream_event() {
  go_on();
  downstream_.wake();
}

void Exchange::on_upstream_deadline() {
  if (stage_ == Stage::connecting) {
    upstream_failed(Failure::timeout);
  } else if (stage_ == Stage::tunnel) {
    cut();
  } else if (!is_copy_ && (waits_for_client() || downstream_.answer_is_stuck())) {
    // It is not the backend that is slow; how long a client may be is the downstream's business.
    core_.timers.set(*upstream_, answer_timeout());
  } else if (answer_begun_) {
    cut();
  } else if (has_no_more_body_ && asks_whether_to_send()) {
    answer_here(504);  // backends that wait for the body, and clients that never send it, are no failures
  } else {
    upstream_failed(Failure::timeout);
  }
  if (active()) go_on();
  downstream_.wake();
}

bool Exchange::may_try_again(Failure failure) const {
  if (body_touched_ || answer_begun_ || attempts_ > retries()) return false;
  const bool safe =
      failure == Failure::unreachable || !sent_ || (head_->idempotent && failure != Failure::malformed);
  return safe && budget_allows();
}

unsigned Exchange::retries() const noexcept {
  return (policy() ? policy()->retries : std::nullopt).value_or(core_.settings.retries);
}

bool Exchange::budget_allows() const {
  return !policy() || policy()->retry_budget_percent == 0 || policy()->state->retries.retry();
}

// Whether the backend says itself that it did not look at the request, and all of that is here still.
bool Exchange::was_refused() {
  if (!sent_ || !upstream_->refused() || attempts_ > retries() || !budget_allows()) return false;
  if (body_touched_ && !upstream_->give_back(returned_)) return false;
  body_touched_ = false;
  return true;
}

// An idle connection that the backend has closed meanwhile says nothing of the backend.
void Exchange::upstream_failed(Failure failure) {
  if (answer_begun_) return cut();
  const bool was_idle =
      upstream_->reused() && !upstream_->still_serves() && !heard_ && failure == Failure::closed;
  const bool lost_idle = was_idle && lost_ < kMostLostIdle && !body_touched_ && head_->idempotent;
  const bool again = was_refused() || lost_idle;
  if (!again && !upstream_->still_serves() && !(was_idle && lost_ < kMostLostIdle)) mark_dead();
  let_go(false);
  if (again) {
    // It was no try at the backend, of which the settings allow so many.
    if (lost_idle) --attempts_;
    ++lost_;
    fresh_ = true;
    return attempt();
  }
  failed_with_ = failure == Failure::timeout ? 504 : 502;
  if (!may_try_again(failure)) return answer_here(failed_with_);
  core_.counters.retries.add();
  attempt();
}

void Exchange::exclude_backend() noexcept {
  if (backend_ < 64) tried_ |= 1ull << backend_;
}

void Exchange::mark_dead() {
  exclude_backend();
  if (is_copy_) return;  // a mirror may be a backend of others, whom its copies are no news for
  Endpoint& endpoint = *route_->backends[backend_].endpoint;
  endpoint.failures.fetch_add(1, std::memory_order_relaxed);
  if (stage_ == Stage::connecting) endpoint.try_next_address();
  core_.counters.backend_failures.add();
  if (route_->backends.size() < 2) return;
  const std::int64_t until = core_.timers.now() + core_.settings.dead_here().count();
  const bool was_alive = endpoint.dead_until.exchange(until, std::memory_order_relaxed) <= core_.timers.now();
  if (was_alive) core_.deaths.died(route_, backend_);
}

void Exchange::client_gone() {
  if (stage_ == Stage::idle) return;
  leave_waiting();
  let_go(false);
  end();
}

void Exchange::refuse_body(const Refusal& refusal) {
  core_.counters.refused.add();
  let_go(false);
  if (answer_begun_) return cut();
  answer_here(refusal.status);
}

void Exchange::answer_here(const Verdict& verdict) {
  if (verdict.status == 400 && !route_) core_.counters.no_route.add();
  let_go(false);
  new_attempt_ = false;
  const OwnAnswer answer(core_.pages, verdict.status, head_->is_head, verdict.lines, verdict.page);
  status_ = verdict.status;
  answer_begun_ = true;
  downstream_.begin_answer(answer.head());
  downstream_.answer_whole(answer.body());
  answer_bytes_ = answer.body().size();
  downstream_.end_answer({});
  end();
}

void Exchange::finish() {
  downstream_.end_answer(answer_reader_.trailers());
  let_go(answer_.keep_alive && request_done_);
  end();
}

void Exchange::cut() {
  downstream_.cut_answer();
  let_go(false);
  if (stage_ != Stage::tunnel) status_ = 0;
  end();
}

void Exchange::end() {
  if (!is_copy_) record();
  if (counted_) counted_->in_flight.fetch_sub(1, std::memory_order_relaxed);
  counted_.reset();
  // A copy that was not told all of the request waits for what does not come any more.
  if (MirroredRequest* mirror = mirror_ ? core_.mirrors->find(mirror_) : nullptr) mirror->abandon();
  mirror_ = 0;
  route_.reset();
  stage_ = Stage::idle;
}

void Exchange::let_go(bool reusable) {
  if (!upstream_) return;
  upstream_->endpoint().in_flight.fetch_sub(1, std::memory_order_relaxed);
  if (reusable && core_.settings.backend_keep_alive && upstream_->is_clean() && !core_.draining)
    core_.upstreams.keep(std::move(upstream_));
  else
    core_.upstreams.discard(std::move(upstream_));
}

void Exchange::record() {
  const double total = static_cast<double>(microseconds() - began_) / 1e6;
  core_.counters.answered(status_, total);
  core_.counters.received_bytes.add(request_bytes_);
  core_.counters.sent_bytes.add(answer_bytes_);
  const Field* referrer = find_field(head_->fields, KnownField::referer);
  const Field* agent = find_field(head_->fields, KnownField::user_agent);
  core_.log.add({.client = client_->address,
                 .method = head_->method,
                 .target = head_->target,
                 .referrer = referrer ? referrer->value : std::string_view(),
                 .agent = agent ? agent->value : std::string_view(),
                 .host = head_->host,
                 .id = route_ ? std::string_view(route_->id) : std::string_view(),
                 .major_version = head_->major_version,
                 .minor_version = head_->minor_version,
                 .status = status_,
                 .bytes = answer_bytes_,
                 .total = total,
                 .backend = static_cast<double>(backend_time_) / 1e6});
}

}  // namespace berth::proxy
