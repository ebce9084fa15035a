// SPDX-License-Identifier: Apache-2.0
// Of an Exchange: whether a request may go on, and where to. What comes then is in exchange.cpp.
#include "proxy/routes/paths.h"
#include "proxy/worker/clock.h"
#include "proxy/worker/exchange.h"
#include "proxy/worker/mirrored_request.h"

namespace berth::proxy {
namespace {

constexpr std::int64_t kLongestLook = 200;  // milliseconds

}  // namespace

void Exchange::begin(const RequestHead& head, const Client& client) {
  head_ = &head;
  client_ = &client;
  began_ = microseconds();
  connected_at_ = backend_time_ = 0;
  tried_ = answer_bytes_ = request_bytes_ = 0;
  attempts_ = lost_ = 0;
  fresh_ = body_touched_ = answer_begun_ = has_no_more_body_ = canary_ = continued_ = false;
  user_.clear();
  returned_.clear();
  status_ = 0;
  stage_ = Stage::connecting;
  failed_with_ = 502;
}

void Exchange::start(const RequestHead& head, const Client& client) {
  begin(head, client);
  if (head.host == "__ping__") return answer_here(200);
  if (const Field* hops = find_field(head.fields, KnownField::max_forwards);
      hops && hops->value == "0" && head.counts_hops())
    return answer_here(head.method == "TRACE" ? 501 : 200);
  switch (find_route()) {
    case Search::found:
      return judge();
    case Search::ambiguous:
      return answer_here(400);
    case Search::none:
      return look_for_route();
  }
}

void Exchange::start_copy(const RouteRef& route, const RequestHead& head, const Client& client,
                          std::string_view user) {
  begin(head, client);
  is_copy_ = true;
  route_ = route;
  user_ = user;
  attempt();
}

Exchange::Search Exchange::find_route() {
  char buffer[256];
  const RouteRef* route = core_.routes.table().find(normal_host(head_->host, buffer, sizeof buffer));
  if (!route) return Search::none;
  route = route_of_path(*route, head_->target);
  if (!route) return Search::ambiguous;
  route_ = *route;
  return Search::found;
}

// One for it may be on its way here.
void Exchange::look_for_route() {
  asked_ = core_.source ? core_.source->ask() : 0;
  if (asked_ == 0) return answer_here(400);
  stage_ = Stage::looking;
  looking_since_ = core_.timers.now();
  core_.for_answers.add(*this, place_);
}

void Exchange::judge() {
  if (!route_->policy) return attempt();
  const Verdict verdict = admit(*route_, *head_, *client_, core_);
  if (verdict.status != 0) return answer_here(verdict);
  if (policy()->authentication) return check_password();
  go_to_backend();
}

// Whether there is such a user is not told by the time that an answer takes, where all hashes are of one
// cost.
void Exchange::check_password() {
  const BasicAuthentication& authentication = *policy()->authentication;
  const std::optional<Credentials> given = credentials_of(*head_);
  if (!given) return answer_here(ask_for_password(authentication));
  const auto user = authentication.users.find(given->user);
  const bool known = user != authentication.users.end();
  const std::string& hash = known ? user->second : authentication.users.begin()->second;
  user_ = known ? given->user : "";
  if (known && core_.known_passwords.has(hash, given->password)) return go_to_backend();
  password_ = core_.passwords->ask(
      hash, given->password,
      address_behind_proxies(*head_, *client_, core_.settings).value_or(client_->address_bytes));
  if (password_ == 0) return answer_here({.status = 503, .lines = "Retry-After: 1\r\n", .page = nullptr});
  stage_ = Stage::looking;
  core_.for_answers.add(*this, place_);
}

void Exchange::password_checked(PasswordAnswer said) {
  if (said == PasswordAnswer::turned_away)
    return answer_here({.status = 503, .lines = "Retry-After: 1\r\n", .page = nullptr});
  const BasicAuthentication& authentication = *policy()->authentication;
  const auto user = authentication.users.find(user_);
  if (said == PasswordAnswer::wrong || user == authentication.users.end())
    return answer_here(ask_for_password(authentication));
  if (const std::optional<Credentials> given = credentials_of(*head_))
    core_.known_passwords.add(user->second, given->password);
  go_to_backend();
}

void Exchange::go_to_backend() {
  if (const std::uint32_t most = policy()->limits.concurrent; most > 0) {
    if (policy()->state->in_flight.fetch_add(1, std::memory_order_relaxed) >= most) {
      policy()->state->in_flight.fetch_sub(1, std::memory_order_relaxed);
      return answer_here({.status = 503, .lines = "Retry-After: 1\r\n", .page = nullptr});
    }
    counted_ = policy()->state;
  }
  if (policy()->state) policy()->state->retries.request(policy()->retry_budget_percent);
  if (route_->backends.empty()) return answer_here(404);
  canary_ = core_.random.is_in_percent(policy()->canary_percent);
  if (policy()->mirror && core_.random.is_in_percent(policy()->mirror_percent)) start_mirror();
  attempt();
}

void Exchange::start_mirror() {
  mirror_ = core_.mirrors->start(core_, policy()->mirror, *head_, *client_, user_);
}

// From here on it is by itself, for as long as a backend may be silent.
void Exchange::end_mirror() {
  if (MirroredRequest* mirror = core_.mirrors->find(mirror_)) mirror->end_body();
  mirror_ = 0;
}

void Exchange::feed_mirror(std::string_view data) {
  if (MirroredRequest* mirror = core_.mirrors->find(mirror_)) mirror->add_body(data);
}

void Exchange::look_again() {
  if (password_ != 0) {
    const std::optional<PasswordAnswer> said = core_.passwords->take(password_);
    if (!said) return;
    password_ = 0;
    leave_waiting();
    password_checked(*said);
    if (active()) go_on();
    return downstream_.wake();
  }
  const bool over = core_.source->has_done(asked_) || core_.timers.now() - looking_since_ > kLongestLook;
  const Search search = find_route();
  if (search == Search::none && !over) return;
  leave_waiting();
  if (search == Search::found)
    judge();
  else
    answer_here(400);
  if (active()) go_on();
  downstream_.wake();
}

void Exchange::leave_waiting() {
  core_.turns.remove(turn_);
  core_.for_answers.remove(place_);
  if (password_ != 0) core_.passwords->forget(std::exchange(password_, 0));
  stage_ = Stage::connecting;
}

}  // namespace berth::proxy
