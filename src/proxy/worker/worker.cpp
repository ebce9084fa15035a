// SPDX-License-Identifier: Apache-2.0
#include "proxy/worker/worker.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/random.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/log.h"
#include "proxy/worker/client_connection.h"
#include "proxy/worker/http2_session.h"

namespace berth::proxy {
namespace {

constexpr int kMostAccepted = 64;            // in a round, so that clients that are there are served as well
constexpr int kMostAcceptedAtLast = 64;      // times that, of those who connected before the listening ended
constexpr std::int64_t kSweepEach = 10'000;  // milliseconds
constexpr std::int64_t kLogEach = 100;
constexpr std::int64_t kDeafFor = 200;
constexpr int kIdlePatience = 1'000;

std::uint64_t random_seed() {
  std::uint64_t seed = 0;
  if (getrandom(&seed, sizeof seed, 0) != sizeof seed)
    seed = static_cast<std::uint64_t>(clock_milliseconds());
  return seed;
}

}  // namespace

class Worker::Listener final : public EventTarget {
 public:
  Listener(Worker& worker, ListeningSocket listening) : worker_(worker), listening_(std::move(listening)) {
    const int on = 1;  // accepted connections have it from here
    setsockopt(descriptor(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  }
  // One, and twice as many each time that there are more: mostly the call that finds nobody is saved, and who
  // is left is told of in the next round.
  void on_events(std::uint32_t) override {
    const bool more = worker_.accept_from(*this, expected_);
    expected_ = more ? std::min(expected_ * 2, kMostAccepted) : 1;
  }
  int descriptor() const noexcept { return listening_.socket.get(); }
  const Listen& listen() const noexcept { return listening_.listen; }

 private:
  Worker& worker_;
  ListeningSocket listening_;
  int expected_ = 1;
};

// Rung by other threads.
class Worker::Bell final : public EventTarget {
 public:
  Bell() : event_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {}
  void ring() noexcept { eventfd_write(event_.get(), 1); }
  void on_events(std::uint32_t) override {
    eventfd_t count;
    eventfd_read(event_.get(), &count);
  }
  int descriptor() const noexcept { return event_.get(); }

 private:
  Fd event_;
};

// TLS before anything is asked. What the client speaks is known when it is over.
class Worker::Handshake final : public ClientSession {
 public:
  Handshake(Worker& worker, Fd socket, Ssl tls, std::string address, const Client& client)
      : ClientSession(worker.core_, worker, std::move(socket), std::move(tls), std::move(address), client),
        worker_(worker) {}

  void start() override {
    worker_.timers_.set(*this, worker_.shared_.settings.timeouts.head.count());
    go_on();
  }
  void drain() override {}  // who has begun to connect is served
  void on_events(std::uint32_t) override {
    if (!closed()) go_on();
  }
  void on_deadline() override { give_up(); }

  bool has_chosen(std::string_view protocol) const {
    const unsigned char* name = nullptr;
    unsigned size = 0;
    SSL_get0_alpn_selected(tls(), &name, &size);
    return std::string_view(reinterpret_cast<const char*>(name), size) == protocol;
  }

 private:
  void go_on() {
    ERR_clear_error();
    const int done = SSL_do_handshake(tls());
    if (done == 1) return worker_.handshake_done(*this);
    const int error = SSL_get_error(tls(), done);
    if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE) give_up();
  }
  void give_up() {
    worker_.timers_.clear(*this);
    close();
    worker_.client_closed(*this);
  }

  Worker& worker_;
};

Worker::Worker(const WorkerShared& shared, Poller poller)
    : shared_(shared),
      poller_(std::move(poller)),
      timers_(clock_milliseconds()),
      routes_(shared.routes),
      log_(shared.settings.access_log),
      upstreams_(poller_, timers_, buffers_, counters_, shared.upstream_tls, {}),
      core_{.settings = shared.settings,
            .poller = poller_,
            .timers = timers_,
            .buffers = buffers_,
            .routes = routes_,
            .upstreams = upstreams_,
            .log = log_,
            .pages = shared.pages,
            .counters = counters_,
            .deaths = shared.deaths,
            .source = shared.source,
            .passwords = &shared.passwords,
            .mirrors = &mirrors_,
            .random = Random(random_seed())} {}

Worker::~Worker() {
  if (thread_.joinable()) {
    stop();
    join();
  }
  clients_.clear();
  mirrors_.clear();
}

Result<std::unique_ptr<Worker>> Worker::create(const WorkerShared& shared,
                                               std::vector<ListeningSocket> listeners) {
  std::unique_ptr<Worker> worker(new Worker(shared, TRY(Poller::create())));
  TRY(worker->log_.open());
  worker->bell_ = std::make_unique<Bell>();
  TRY(worker->poller_.watch(worker->bell_->descriptor(), *worker->bell_, EPOLLIN));
  for (ListeningSocket& listening : listeners) {
    worker->listeners_.push_back(std::make_unique<Listener>(*worker, std::move(listening)));
    Listener& listener = *worker->listeners_.back();
    TRY(worker->poller_.watch(listener.descriptor(), listener, EPOLLIN));
  }
  return worker;
}

void Worker::start() {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, &before);
  thread_ = std::thread([this] { run(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

void Worker::join() {
  if (thread_.joinable()) thread_.join();
}

void Worker::command(unsigned bits) {
  commands_.fetch_or(bits);
  bell_->ring();
}

void Worker::run() {
  while (!stopped_ && !(core_.draining && clients_.empty())) round();
  log_.write_out();
  ended_.store(true);
}

void Worker::round() {
  routes_.sleep();
  const int count = poller_.wait(patience());
  routes_.wake();
  timers_.advance(clock_milliseconds());
  poller_.dispatch(count);
  take_commands();
  look_for_answers();
  core_.turns.each([](TakesTurns& one) { one.next_round(); });
  upstreams_.run_waiting();
  listen_again();
  poller_.clear_buried();
  mirrors_.bury();
  if (timers_.now() - logged_at_ >= kLogEach) {
    logged_at_ = timers_.now();
    log_.write_out();
  }
  if (timers_.now() - swept_at_ >= kSweepEach) {
    swept_at_ = timers_.now();
    upstreams_.sweep();
  }
}

int Worker::patience() const {
  if (!core_.turns.empty() || upstreams_.has_waiting()) return 0;
  return clients_.empty() && !log_.has_lines() && deaf_until_ == 0 ? kIdlePatience
                                                                   : static_cast<int>(Timers::kTick);
}

void Worker::take_commands() {
  const unsigned commands = commands_.exchange(0);
  if (commands & kStop) stopped_ = true;
  if (commands & kLookAgain) told_to_look_ = true;
  if (commands & kReopenLog) {
    log_.write_out();
    if (const Result<void> opened = log_.open(); !opened) log_warning("proxy", "{}", opened.error().message);
  }
  if (!(commands & kDrain) || core_.draining) return;
  core_.draining = true;
  for (const std::unique_ptr<Listener>& listener : listeners_) {
    for (int count = 0; count < kMostAcceptedAtLast && accept_from(*listener, kMostAccepted); ++count)
      continue;
    poller_.forget(listener->descriptor());
  }
  listeners_.clear();
  upstreams_.close_idle();
  std::vector<ClientSession*> clients;
  for (const auto& [session, owned] : clients_) clients.push_back(session);
  for (ClientSession* session : clients)
    if (clients_.contains(session)) session->drain();
}

// Whoever was not told of an answer in time gives up at a tick.
void Worker::look_for_answers() {
  if (core_.for_answers.empty()) return;
  if (!std::exchange(told_to_look_, false) && timers_.now() - looked_at_ < Timers::kTick) return;
  looked_at_ = timers_.now();
  core_.for_answers.each([](Exchange& one) { one.look_again(); });
}

// Whoever waits is told of again and again, and cannot be accepted: the worker would do nothing else.
void Worker::stop_listening_for_a_moment() {
  if (deaf_until_ != 0) return;
  deaf_until_ = timers_.now() + kDeafFor;
  log_warning("proxy", "there are no descriptors left: clients wait");
  for (const std::unique_ptr<Listener>& listener : listeners_) poller_.forget(listener->descriptor());
}

void Worker::listen_again() {
  if (deaf_until_ == 0 || timers_.now() < deaf_until_) return;
  deaf_until_ = 0;
  for (const std::unique_ptr<Listener>& listener : listeners_)
    (void)poller_.watch(listener->descriptor(), *listener, EPOLLIN);
}

// Whether there may be more.
bool Worker::accept_from(Listener& listener, int most) {
  for (int count = 0; count < most; ++count) {
    sockaddr_storage peer{};
    socklen_t size = sizeof peer;
    Fd socket(accept4(listener.descriptor(), reinterpret_cast<sockaddr*>(&peer), &size,
                      SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!socket && (errno == EMFILE || errno == ENFILE)) stop_listening_for_a_moment();
    if (!socket) return false;
    accepted(std::move(socket), peer, listener.listen());
  }
  return true;
}

void Worker::accepted(Fd socket, const sockaddr_storage& peer, const Listen& listen) {
  if (clients_.size() >= shared_.settings.most_connections) return;  // closed: there is no room to say why
  counters_.connections.add();
  const AddressBytes address = address_of(peer);
  const Client client{.address = {},
                      .address_bytes = address,
                      .port = listen.port,
                      .tls = listen.tls,
                      .trusted = any_contains(shared_.settings.trusted_proxies, address)};
  if (listen.tls) return shake_hands(std::move(socket), format_address(address), client);
  auto session = std::make_unique<ClientConnection>(core_, *this, std::move(socket), nullptr,
                                                    format_address(address), client);
  if (!poller_.watch(session->descriptor(), *session)) return;
  keep(std::move(session));
}

void Worker::keep(std::unique_ptr<ClientSession> session) {
  ClientSession& kept = *session;
  counters_.open_connections.add();
  clients_.emplace(&kept, std::move(session));
  kept.start();
}

void Worker::shake_hands(Fd socket, std::string address, const Client& client) {
  Ssl tls = shared_.tls->accept(socket.get());
  if (!tls) return;
  auto handshake =
      std::make_unique<Handshake>(*this, std::move(socket), std::move(tls), std::move(address), client);
  if (!poller_.watch(handshake->descriptor(), *handshake)) return;
  keep(std::move(handshake));
}

void Worker::handshake_done(Handshake& handshake) {
  const bool http2 = handshake.has_chosen("h2");
  auto [socket, tls] = handshake.release();
  std::unique_ptr<ClientSession> session;
  if (http2)
    session = std::make_unique<Http2Session>(core_, *this, std::move(socket), std::move(tls),
                                             handshake.address(), handshake.client());
  else
    session = std::make_unique<ClientConnection>(core_, *this, std::move(socket), std::move(tls),
                                                 handshake.address(), handshake.client());
  timers_.clear(handshake);
  client_closed(handshake);
  if (poller_.hand_to(session->descriptor(), *session)) keep(std::move(session));
}

void Worker::client_speaks_http2(ClientSession& session) {
  const std::string bytes(session.input());
  session.use(bytes.size());
  auto [socket, tls] = session.release();
  auto http2 = std::make_unique<Http2Session>(core_, *this, std::move(socket), std::move(tls),
                                              session.address(), session.client());
  http2->was_read(bytes);
  client_closed(session);
  if (poller_.hand_to(http2->descriptor(), *http2)) keep(std::move(http2));
}

void Worker::client_closed(ClientSession& session) {
  const auto found = clients_.find(&session);
  if (found == clients_.end()) return;
  counters_.open_connections.subtract();
  poller_.bury(std::move(found->second));
  clients_.erase(found);
}

}  // namespace berth::proxy
