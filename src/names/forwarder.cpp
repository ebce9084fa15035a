// SPDX-License-Identifier: Apache-2.0
#include "names/forwarder.h"

#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <iterator>

#include "base/log.h"

namespace berth::names {
namespace {

constexpr std::size_t kMostFavours = 1024;
constexpr std::size_t kReadAtOnce = 16'384;

std::uint16_t random_id() {
  std::uint16_t id = 0;
  while (getrandom(&id, sizeof id, 0) != sizeof id) {
  }
  return id;
}

void set_id(std::vector<unsigned char>& message, std::size_t at, std::uint16_t id) {
  message[at] = static_cast<unsigned char>(id >> 8);
  message[at + 1] = static_cast<unsigned char>(id);
}

bool has_rcode(Bytes answer, Rcode rcode) { return (answer[3] & 15) == static_cast<int>(rcode); }

// Clients make more of a failure than of REFUSED, after which musl waits until its own time is up.
void make_failure_of_refused(std::vector<unsigned char>& answer) {
  if (!has_rcode(answer, Rcode::refused)) return;
  answer[3] =
      static_cast<unsigned char>((answer[3] & 0xF0) | static_cast<unsigned char>(Rcode::server_failure));
}

}  // namespace

struct Forwarder::Attempt {
  Fd socket;
  Server server;
  std::uint16_t id = 0;
  Clock::time_point began;
  bool failed = false;  // refused, closed, or an answer that says so
  // Over TCP alone.
  std::vector<unsigned char> unsent, received;
  std::size_t sent = 0;
};

struct Forwarder::Pending {
  std::uint64_t number = 0;
  std::string sandbox;
  std::vector<unsigned char> message;
  Question question;
  std::uint16_t id = 0;  // the client's
  Transport transport = Transport::udp;
  std::vector<Server> servers;
  std::size_t next_server = 0;      // counts on past the last: the list is gone through again
  std::size_t failures_in_row = 0;  // attempts that ended at once
  std::list<Attempt> attempts;
  std::optional<std::vector<unsigned char>> failure;  // what a server said which could not help
  Clock::time_point end, due;
  Deliver deliver;
};

Forwarder::Forwarder(EventLoop& loop, ForwardLimits limits) : loop_(loop), limits_(limits) {}

Forwarder::~Forwarder() {
  for (auto& [number, pending] : pending_)
    for (Attempt& attempt : pending->attempts) close(attempt);
  if (timer_) loop_.cancel(timer_->second);
}

bool Forwarder::forward(const std::string& sandbox, Bytes message, const Query& query, Transport transport,
                        std::vector<Server> servers, Deliver deliver) {
  if (servers.empty()) return false;
  const auto known = of_sandbox_.find(sandbox);
  const std::size_t own = known == of_sandbox_.end() ? 0 : known->second.size();
  if (own >= limits_.in_flight_of_sandbox) return false;
  if (pending_.size() >= limits_.in_flight && own >= limits_.in_flight_in_any_case) return false;
  order_by_favour(servers);
  auto pending = std::make_unique<Pending>();
  pending->number = ++last_number_;
  pending->sandbox = sandbox;
  pending->message.assign(message.begin(), message.end());
  pending->question = query.question;
  pending->id = query.header.id;
  pending->transport = transport;
  pending->servers = std::move(servers);
  pending->end = Clock::now() + limits_.total;
  pending->deliver = std::move(deliver);
  of_sandbox_[sandbox].insert(pending->number);
  Pending& kept = *(pending_[pending->number] = std::move(pending));
  next_attempt(kept);
  return true;
}

void Forwarder::drop(const std::string& sandbox) {
  auto known = of_sandbox_.find(sandbox);
  if (known == of_sandbox_.end()) return;
  const std::set<std::uint64_t> numbers = known->second;
  for (std::uint64_t number : numbers) take_out(number);
}

std::unique_ptr<Forwarder::Pending> Forwarder::take_out(std::uint64_t number) {
  auto found = pending_.find(number);
  std::unique_ptr<Pending> pending = std::move(found->second);
  pending_.erase(found);
  due_.erase({pending->due, number});
  auto sandbox = of_sandbox_.find(pending->sandbox);
  sandbox->second.erase(number);
  if (sandbox->second.empty()) of_sandbox_.erase(sandbox);
  for (Attempt& attempt : pending->attempts) close(attempt);
  return pending;
}

void Forwarder::close(Attempt& attempt) {
  if (!attempt.socket) return;
  loop_.forget(attempt.socket.get());
  attempt.socket.reset();
}

void Forwarder::order_by_favour(std::vector<Server>& servers) const {
  if (favours_.empty() || servers.size() < 2) return;
  const auto time = Clock::now();
  std::vector<Server> first, last;
  for (Server& server : servers) {
    const auto favour = favours_.find(server.text());
    const bool out_of_favour = favour != favours_.end() && favour->second.asked_last_until > time;
    (out_of_favour ? last : first).push_back(std::move(server));
  }
  servers = std::move(first);
  std::ranges::move(last, std::back_inserter(servers));
}

Forwarder::Favour& Forwarder::favour_of(const Server& server) {
  const std::string name = server.text();
  if (favours_.size() >= kMostFavours && !favours_.contains(name)) favours_.clear();
  return favours_[name];
}

// A server that answered others meanwhile has nothing to say to this question alone: its name's own servers
// may be dead. Counted, one container that asks for such names would move all others to the next server.
void Forwarder::count_silence(const Attempt& attempt) {
  Favour& favour = favour_of(attempt.server);
  if (favour.answered >= attempt.began) return;
  if (++favour.silences >= limits_.silences) favour.asked_last_until = Clock::now() + limits_.out_of_favour;
}

// One more server is asked; the ones before may still answer. When all of them in a row have failed at once,
// there is nobody to wait for.
void Forwarder::next_attempt(Pending& pending) {
  while (pending.failures_in_row < pending.servers.size()) {
    const Server& server = pending.servers[pending.next_server++ % pending.servers.size()];
    if (start_attempt(pending, server)) {
      schedule(pending, std::min(Clock::now() + limits_.attempt, pending.end));
      return;
    }
    ++pending.failures_in_row;
  }
  // Not from here: forward() has not returned yet.
  const bool waiting =
      std::ranges::any_of(pending.attempts, [](const Attempt& attempt) { return !attempt.failed; });
  schedule(pending, waiting ? pending.end : Clock::now());
  if (!waiting) pending.end = pending.due;
}

bool Forwarder::start_attempt(Pending& pending, const Server& server) {
  const bool udp = pending.transport == Transport::udp;
  const SocketAddress address = socket_address(server);
  Fd socket(
      ::socket(address.get()->sa_family, (udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!socket) return false;
  if (connect(socket.get(), address.get(), address.size) != 0 && errno != EINPROGRESS) return false;
  Attempt& attempt = pending.attempts.emplace_back();
  attempt.server = server;
  attempt.id = random_id();
  attempt.began = Clock::now();
  std::vector<unsigned char> message = pending.message;
  set_id(message, 0, attempt.id);
  const std::uint64_t number = pending.number;
  Result<void> watched;
  if (udp) {
    if (send(socket.get(), message.data(), message.size(), MSG_NOSIGNAL) < 0)
      return attempt.failed = true, false;
    watched =
        loop_.watch(socket.get(), EPOLLIN, [this, number, &attempt](auto) { on_datagram(number, attempt); });
  } else {
    attempt.unsent = {static_cast<unsigned char>(message.size() >> 8),
                      static_cast<unsigned char>(message.size())};
    attempt.unsent.insert(attempt.unsent.end(), message.begin(), message.end());
    watched = loop_.watch(socket.get(), EPOLLIN | EPOLLOUT, [this, number, &attempt](std::uint32_t events) {
      on_stream(number, attempt, events);
    });
  }
  if (!watched) return attempt.failed = true, false;
  attempt.socket = std::move(socket);
  return true;
}

void Forwarder::on_datagram(std::uint64_t number, Attempt& attempt) {
  std::array<unsigned char, kLargestMessage> buffer;
  Pending& pending = *pending_.at(number);
  // A few at a time: somebody who guesses at our port must not keep us here.
  for (int i = 0; i < 16; ++i) {
    const ssize_t got = recv(attempt.socket.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (got < 0) return attempt_failed(pending, attempt);  // nobody listens there, or no way leads there
    const Bytes answer(buffer.data(), static_cast<std::size_t>(got));
    if (answers_query(answer, attempt.id, pending.question))
      return take_answer(pending, attempt, {answer.begin(), answer.end()});
  }
}

void Forwarder::on_stream(std::uint64_t number, Attempt& attempt, std::uint32_t events) {
  Pending& pending = *pending_.at(number);
  if (attempt.sent < attempt.unsent.size() && (events & (EPOLLOUT | EPOLLERR | EPOLLHUP))) {
    const ssize_t sent = send(attempt.socket.get(), attempt.unsent.data() + attempt.sent,
                              attempt.unsent.size() - attempt.sent, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN && errno != EINTR) return attempt_failed(pending, attempt);
    attempt.sent += static_cast<std::size_t>(std::max<ssize_t>(sent, 0));
    if (attempt.sent == attempt.unsent.size()) loop_.change(attempt.socket.get(), EPOLLIN);
  }
  if (!(events & (EPOLLIN | EPOLLERR | EPOLLHUP))) return;
  std::array<unsigned char, kReadAtOnce> buffer;
  const ssize_t got = recv(attempt.socket.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got <= 0) return attempt_failed(pending, attempt);
  std::vector<unsigned char>& received = attempt.received;
  received.insert(received.end(), buffer.begin(), buffer.begin() + got);
  if (received.size() < 2) return;
  const std::size_t size = 2 + (received[0] << 8 | received[1]);
  if (received.size() < size) return;
  std::vector<unsigned char> answer(received.begin() + 2,
                                    received.begin() + static_cast<std::ptrdiff_t>(size));
  if (!answers_query(answer, attempt.id, pending.question)) return attempt_failed(pending, attempt);
  take_answer(pending, attempt, std::move(answer));
}

void Forwarder::take_answer(Pending& pending, Attempt& attempt, std::vector<unsigned char> answer) {
  favour_of(attempt.server) = {.answered = Clock::now()};
  set_id(answer, 0, pending.id);
  make_failure_of_refused(answer);
  const bool others = pending.next_server < pending.servers.size() ||
                      std::ranges::any_of(pending.attempts, [&](const Attempt& other) {
                        return &other != &attempt && !other.failed;
                      });
  if (!has_rcode(answer, Rcode::server_failure) || !others) return finish(pending, std::move(answer));
  pending.failure = std::move(answer);
  attempt_failed(pending, attempt);
}

void Forwarder::attempt_failed(Pending& pending, Attempt& attempt) {
  attempt.failed = true;
  close(attempt);
  ++pending.failures_in_row;
  next_attempt(pending);
}

void Forwarder::finish(Pending& pending, std::optional<std::vector<unsigned char>> answer) {
  const std::unique_ptr<Pending> over = take_out(pending.number);
  over->deliver(std::move(answer));
}

void Forwarder::schedule(Pending& pending, Clock::time_point when) {
  due_.erase({pending.due, pending.number});
  pending.due = when;
  due_.insert({when, pending.number});
  arm();
}

void Forwarder::arm() {
  const Clock::time_point first = due_.begin()->first;
  if (timer_ && timer_->first <= first) return;
  if (timer_) loop_.cancel(timer_->second);
  const auto delay = std::max<Clock::duration>(first - Clock::now(), {});
  timer_ = {first, loop_.after(delay, [this] {
              timer_.reset();
              run_due();
              if (!due_.empty()) arm();
            })};
}

void Forwarder::run_due() {
  const auto time = Clock::now();
  while (!due_.empty() && due_.begin()->first <= time) {
    Pending& pending = *pending_.at(due_.begin()->second);
    // Whoever was asked last kept silent for a whole turn.
    if (!pending.attempts.empty() && !pending.attempts.back().failed) count_silence(pending.attempts.back());
    const bool all_asked = pending.next_server >= pending.servers.size();
    if (pending.end <= time || (pending.failure && all_asked)) {
      finish(pending, std::exchange(pending.failure, std::nullopt));
      continue;
    }
    pending.failures_in_row = 0;
    next_attempt(pending);
  }
}

}  // namespace berth::names
