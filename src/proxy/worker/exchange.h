// SPDX-License-Identifier: Apache-2.0
// One request and its answer: finds the route, chooses a backend, relays both ways with bounded memory, tries
// another backend where that is safe, and tells how it went.
//
// Lifecycle: idle -> start() -> active until the downstream was given an end or a cut -> idle. Everything in
// between happens in go_on(), which does what can be done now; whoever learns of something new calls it
// again.
#pragma once
#include <cstdint>
#include <string>

#include "proxy/http1/body_reader.h"
#include "proxy/http1/head.h"
#include "proxy/routes/route.h"
#include "proxy/worker/admission.h"
#include "proxy/worker/core.h"
#include "proxy/worker/downstream.h"
#include "proxy/worker/upstream.h"

namespace berth::proxy {

class Exchange final : public UpstreamUser, public TakesTurns {
 public:
  Exchange(Core& core, Downstream& downstream) : core_(core), downstream_(downstream) {}
  Exchange(const Exchange&) = delete;
  Exchange& operator=(const Exchange&) = delete;
  ~Exchange() override;

  bool active() const noexcept { return stage_ != Stage::idle; }
  bool answer_begun() const noexcept { return answer_begun_; }
  bool waits_for_client() const noexcept { return has_no_more_body_ && !asks_whether_to_send(); }
  // With other requests: it costs the backend a stream, not a connection.
  bool shares_connection() const noexcept {
    return upstream_ && upstream_->endpoint().protocol == Protocol::http2;
  }

  // `head` and `client` stay as they are until the exchange is idle again.
  void start(const RequestHead& head, const Client& client);
  // A copy of a request, on the route of its mirror: it was admitted already, and is not counted.
  void start_copy(const RouteRef& route, const RequestHead& head, const Client& client,
                  std::string_view user);
  void go_on();
  void look_again();  // something may have come from the source of routes, or will not any more
  void wait_for_turn() { core_.turns.add(*this, turn_); }
  void next_round() override;
  void client_gone();  // nobody waits for the answer any more

  void on_upstream_event() override;
  void on_upstream_deadline() override;

 private:
  enum class Stage : std::uint8_t { idle, looking, connecting, relaying, tunnel };
  enum class Failure : std::uint8_t { unreachable, timeout, closed, malformed };

  void go_on_once();

  // Whether, and where to.
  void begin(const RequestHead& head, const Client& client);
  enum class Search : std::uint8_t { found, none, ambiguous };
  Search find_route();
  void look_for_route();
  void leave_waiting();
  void judge();
  void check_password();
  void password_checked(PasswordAnswer said);
  void go_to_backend();
  void start_mirror();
  void feed_mirror(std::string_view data);
  void end_mirror();
  void attempt();
  void send_head();
  void upstream_failed(Failure failure);
  bool may_try_again(Failure failure) const;
  bool asks_whether_to_send() const noexcept;
  unsigned retries() const noexcept;
  bool budget_allows() const;
  bool was_refused();
  void exclude_backend() noexcept;
  void mark_dead();

  // Both ways; each says whether there is more to be done now.
  void relay_request();
  bool send_returned();
  void relay_answer();
  bool read_answer_head();
  bool take_answer_head();
  bool relay_answer_body();
  bool more_of_answer();
  bool is_agreed() const;
  void begin_answer();
  void relay_tunnel();
  enum class Poured : std::uint8_t { open, ended, broken };
  Poured pour(Connection& from, Connection& to, std::uint64_t& count);

  // Ends.
  void answer_here(const Verdict& verdict);
  void answer_here(int status) { answer_here(Verdict{.status = status, .lines = {}, .page = nullptr}); }
  void end();
  void refuse_body(const Refusal& refusal);
  void finish();
  void cut();
  void let_go(bool reusable);
  void record();

  Core& core_;
  Downstream& downstream_;
  Stage stage_ = Stage::idle;

  const RequestHead* head_ = nullptr;
  const Client* client_ = nullptr;
  RouteRef route_;
  std::size_t backend_ = 0;
  std::uint64_t tried_ = 0;
  unsigned attempts_ = 0, lost_ = 0;
  std::string user_;                     // who has said the password
  std::shared_ptr<RouteState> counted_;  // that this one is under way
  std::uint64_t mirror_ = 0;             // of Mirrors; 0: none
  std::uint64_t password_ = 0;           // what is asked of the PasswordChecker; 0: nothing
  bool is_copy_ = false, canary_ = false;
  bool fresh_ = false;         // no idle connection: the last one was stale
  bool sent_ = false;          // something of the request, to this connection
  bool body_touched_ = false;  // some of the body is used up: there is no second try
  bool request_done_ = false;
  bool answer_begun_ = false;
  bool has_no_more_body_ = false;       // of what has come; its end has not
  bool new_attempt_ = false;            // there is something to do at once
  bool heard_ = false;                  // anything from this connection
  bool continued_ = false;              // the client was told that its body is wanted
  WaitingLine<Exchange>::Place place_;  // among those who wait for an answer
  int status_ = 0, failed_with_ = 502;
  const RoutePolicy* policy() const noexcept { return route_->policy.get(); }
  std::int64_t connect_timeout() const noexcept;
  std::int64_t answer_timeout() const noexcept;

  Upstream upstream_;
  std::string returned_;  // of the body, by a backend that did not look at it: goes before the rest
  HeadSearch answer_search_;
  ResponseHead answer_;
  BodyReader answer_reader_;

  std::uint64_t asked_ = 0;                    // of the source of routes
  std::int64_t looking_since_ = 0;             // milliseconds
  std::int64_t began_ = 0, connected_at_ = 0;  // microseconds
  std::int64_t backend_time_ = 0;
  std::uint64_t answer_bytes_ = 0, request_bytes_ = 0;
};

}  // namespace berth::proxy
