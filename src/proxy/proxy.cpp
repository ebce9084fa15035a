// SPDX-License-Identifier: Apache-2.0
#include "proxy/proxy.h"

#include <algorithm>
#include <condition_variable>

#include "base/file.h"
#include "base/log.h"
#include "proxy/admin/metrics.h"
#include "proxy/become_user.h"
#include "proxy/routes/route_json.h"

namespace berth::proxy {
namespace {

constexpr std::chrono::seconds kChoresEach{1};
constexpr std::size_t kLargestRoutes = 1u << 30;  // bytes of the file of static routes
constexpr std::chrono::milliseconds kLookEach{20};
constexpr std::chrono::milliseconds kOthersLastRequests{
    500};  // connections are idle for less, in a program that ends
constexpr std::chrono::seconds kNamesEach{10}, kUnknownNamesEach{1};

// False: it was told to stop.
bool sleep(const std::stop_token& stop, std::chrono::seconds time) {
  std::mutex mutex;
  std::condition_variable_any asleep;
  std::unique_lock lock(mutex);
  asleep.wait_for(lock, stop, time, [] { return false; });
  return !stop.stop_requested();
}

void look_up_names(const std::stop_token& stop, const std::shared_ptr<Endpoints>& endpoints,
                   Endpoints::Names names, std::chrono::seconds each) {
  while (sleep(stop, each)) endpoints->look_up_again(names, stop);
}

}  // namespace

// To the sources that want to know. There may be none.
class Proxy::Deaths final : public DeathListener {
 public:
  void tell(RedisSource* redis) { redis_ = redis; }
  void died(const RouteRef& route, std::size_t backend) override {
    log_info("proxy", "the backend {} of {} is dead for now", route->backends[backend].url, route->host);
    if (redis_) redis_->died(route, backend);
  }

 private:
  RedisSource* redis_ = nullptr;
};

Proxy::Proxy(Settings settings)
    : settings_(std::move(settings)),
      book_(published_),
      deaths_(std::make_unique<Deaths>()),
      passwords_([this] { look_again(); }) {}

// Whoever talks to the workers ends before them.
Proxy::~Proxy() {
  // A resolver that is silent holds nobody up: the thread has nothing of this but what it shares.
  for (std::jthread& names : names_) {
    names.request_stop();
    names.detach();
  }
  admin_.reset();
  if (redis_) redis_->stop();
  passwords_.stop();
  for (const std::unique_ptr<Worker>& worker : workers_) worker->stop();
  workers_.clear();
}

Result<std::unique_ptr<Proxy>> Proxy::open(Settings settings, Inherited inherited) {
  std::unique_ptr<Proxy> proxy(new Proxy(std::move(settings)));
  proxy->pages_ = TRY(ErrorPages::load(proxy->settings_.static_directory));
  if (!proxy->settings_.engine.empty()) TRY_AS("engine", http::Endpoint::parse(proxy->settings_.engine));
  TRY(proxy->open_tls());
  TRY(proxy->open_admin(inherited));
  std::vector<std::vector<ListeningSocket>> listening = TRY(open_listening(proxy->settings_, inherited));
  TRY(become_user(proxy->settings_.user, proxy->settings_.group));
  TRY(proxy->open_routes());
  TRY(proxy->open_redis());
  TRY(proxy->open_workers(std::move(listening)));
  proxy->ready_ = std::move(inherited.ready);
  return proxy;
}

Result<void> Proxy::check(const Settings& settings) {
  Endpoints endpoints;
  TRY(ErrorPages::load(settings.static_directory));
  if (settings.tls) TRY(ServerTls::open(*settings.tls));
  if (!settings.engine.empty()) TRY_AS("engine", http::Endpoint::parse(settings.engine));
  TRY(check_user(settings.user, settings.group));
  if (settings.routes_file.empty()) return {};
  const std::string text = TRY_AS("routes", read_file(settings.routes_file, kLargestRoutes));
  TRY(parse_routes_file(text, settings.routes_file, endpoints));
  return {};
}

Result<void> Proxy::open_tls() {
  if (settings_.tls) tls_ = TRY(ServerTls::open(*settings_.tls));
  upstream_tls_ = make_upstream_tls();
  return {};
}

// The admin API's first: they are what somebody has said here.
Result<void> Proxy::open_routes() {
  if (!settings_.routes_file.empty()) {
    const std::string text = TRY_AS("routes", read_file(settings_.routes_file, kLargestRoutes));
    const std::vector<RouteRef> routes = TRY(parse_routes_file(text, settings_.routes_file, endpoints_));
    book_.replace(Source::file, routes);
  }
  if (settings_.store.empty()) return {};
  store_ = TRY(RouteStore::open(settings_.store));
  TRY(read_stored(Source::admin));
  if (settings_.redis) TRY(read_stored(Source::redis));
  return {};
}

Result<void> Proxy::read_stored(Source source) {
  const std::vector<RouteRef> routes = TRY(store_->read(source, endpoints_));
  book_.replace(source, routes);
  return {};
}

Result<void> Proxy::open_redis() {
  if (!settings_.redis) return {};
  const auto kept = [](const Result<void>& written) {
    if (!written) log_warning("proxy", "the last routes of Redis are not kept: {}", written.error().message);
  };
  RedisSource::Sink sink{.changed =
                             [this, kept](const std::vector<RouteChange>& changes) {
                               book_.apply(Source::redis, changes);
                               if (store_) kept(store_->write(Source::redis, changes));
                             },
                         .replaced =
                             [this, kept](const std::vector<RouteRef>& routes) {
                               book_.replace(Source::redis, routes);
                               if (store_) kept(store_->replace(Source::redis, routes));
                             },
                         .answered = [this] { look_again(); }};
  redis_ = TRY(RedisSource::create(settings_, endpoints_, book_, std::move(sink)));
  deaths_->tell(redis_.get());
  return {};
}

Result<void> Proxy::open_workers(std::vector<std::vector<ListeningSocket>> listening) {
  const WorkerShared shared{.settings = settings_,
                            .routes = published_,
                            .pages = pages_,
                            .deaths = *deaths_,
                            .passwords = passwords_,
                            .source = redis_.get(),
                            .tls = tls_.get(),
                            .upstream_tls = upstream_tls_.get()};
  for (std::vector<ListeningSocket>& sockets : listening) {
    for (const ListeningSocket& one : sockets) {
      Fd copy = TRY(one.socket.duplicate());
      sockets_.push_back({std::move(copy), one.listen});
    }
    workers_.push_back(TRY(Worker::create(shared, std::move(sockets))));
  }
  return {};
}

Result<void> Proxy::open_admin(Inherited& inherited) {
  if (!settings_.admin) return {};
  const AdminSettings& admin = *settings_.admin;
  // Only where it is to listen: what needs no token at one address may need one at another.
  if (inherited.admin && inherited.admin_place == place_of(admin)) {
    admin_socket_ = std::move(inherited.admin);
    return {};
  }
  inherited.admin.reset();
  http::Listener listener = admin.unix_path.empty()
                                ? TRY_AS("admin", http::listen_tcp(admin.address, admin.port))
                                : TRY_AS("admin", http::listen_unix(admin.unix_path, 0600));
  admin_socket_ = std::move(listener.socket);
  return {};
}

Result<void> Proxy::start() {
  for (const std::unique_ptr<Worker>& worker : workers_) worker->start();
  if (redis_) redis_->start();
  health_ = std::make_unique<HealthChecks>(book_);
  health_->start();
  engine_ = std::make_unique<EngineSource>(book_, endpoints_);
  TRY(engine_->follow(settings_.engine));
  const bool takes_over = static_cast<bool>(ready_);
  if (takes_over) {
    // The other program serves by its own table until it ends: what is changed here holds when it does no
    // more.
    TRY(write_all(ready_.get(), "r"));
    ready_.reset();
    std::this_thread::sleep_for(kOthersLastRequests);
  }
  if (Result<void> started = start_admin(); !started) {
    if (!takes_over) return started;
    // The other one ends already: without an API is better than without a proxy.
    log_error("proxy", "there is no admin API: {}", started.error().message);
  }
  chores_ = std::jthread([this](const std::stop_token& stop) { run_chores(stop); });
  // Each by itself: those that nobody answers for take their time.
  names_.emplace_back(look_up_names, names_and_endpoints_, Endpoints::Names::known, kNamesEach);
  names_.emplace_back(look_up_names, names_and_endpoints_, Endpoints::Names::unknown, kUnknownNamesEach);
  return {};
}

Result<void> Proxy::start_admin() {
  if (settings_.admin) {
    admin_ = std::make_unique<AdminApi>(*settings_.admin,
                                        AdminApi::Parts{.book = book_,
                                                        .endpoints = endpoints_,
                                                        .store = store_.get(),
                                                        .engine = engine_.get(),
                                                        .metrics = [this] { return metrics(); }});
    Fd socket = TRY(admin_socket_.duplicate());
    http::Listener listener = TRY(http::adopt_listener(std::move(socket)));
    TRY(admin_->start(std::move(listener)));
  }
  return {};
}

// Those whose requests wait for what somebody else had to find out.
void Proxy::look_again() {
  for (const std::unique_ptr<Worker>& worker : workers_) worker->look_again();
}

void Proxy::run_chores(const std::stop_token& stop) {
  while (sleep(stop, kChoresEach))
    if (tls_) tls_->reload();
}

void Proxy::drain() {
  if (admin_) admin_->stop();
  admin_.reset();
  if (redis_) redis_->stop();
  store_.reset();  // whoever comes next may open it while the last requests end
  sockets_.clear();
  admin_socket_.reset();
  for (const std::unique_ptr<Worker>& worker : workers_) worker->drain();
  const std::int64_t until = clock_milliseconds() + settings_.timeouts.drain.count();
  const auto all_ended = [&] {
    return std::ranges::all_of(workers_, [](const auto& worker) { return worker->ended(); });
  };
  while (!all_ended() && clock_milliseconds() < until) std::this_thread::sleep_for(kLookEach);
  if (!all_ended()) log_warning("proxy", "some requests were still under way, and are cut");
}

void Proxy::reopen_logs() {
  for (const std::unique_ptr<Worker>& worker : workers_) worker->reopen_log();
}

// From here on changes of routes wait for the new program: one that this one answered would be in the store,
// which the other may have read already.
Result<pid_t> Proxy::hand_over_to(char* const* arguments) {
  if (admin_) admin_->stop();
  admin_.reset();
  if (redis_) redis_->stop();
  store_.reset();  // whoever has it open has it alone
  Result<pid_t> handed = hand_over(arguments, sockets_, admin_socket_ ? admin_socket_.get() : -1,
                                   settings_.admin ? place_of(*settings_.admin) : "");
  if (!handed) TRY(take_up_changes());
  return handed;
}

Result<void> Proxy::take_up_changes() {
  if (!settings_.store.empty()) store_ = TRY(RouteStore::open(settings_.store));
  if (redis_) redis_->start();
  return start_admin();
}

std::string Proxy::metrics() const {
  std::vector<const Counters*> counters;
  for (const std::unique_ptr<Worker>& worker : workers_) counters.push_back(&worker->counters());
  return format_metrics(counters, {.routes = book_.size(), .redis_connected = redis_ && redis_->connected()});
}

}  // namespace berth::proxy
