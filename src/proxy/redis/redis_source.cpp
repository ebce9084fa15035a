// SPDX-License-Identifier: Apache-2.0
#include "proxy/redis/redis_source.h"

#include <poll.h>
#include <sys/eventfd.h>

#include <cerrno>

#include "base/log.h"
#include "proxy/redis/redis_routes.h"
#include "proxy/routes/route_json.h"

namespace berth::proxy {
namespace {

constexpr std::size_t kAtOnce = 1000;  // keys in a batch
constexpr std::string_view kAtOnceText = "1000";
constexpr std::size_t kMostDeaths = 1000;  // that wait to be written; more are nobody's loss
constexpr int kPollEach = 1000;            // milliseconds, without tracking
constexpr int kPingEach = 5000;            // with it: a server that is gone without a word
constexpr int kFirstPause = 50, kLongestPause = 2000;

// For a pattern that matches the text alone.
std::string escape_glob(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    if (std::string_view("*?[]^-\\").find(c) != std::string_view::npos) escaped.push_back('\\');
    escaped.push_back(c);
  }
  return escaped;
}

}  // namespace

Result<std::unique_ptr<RedisSource>> RedisSource::create(const Settings& settings, Endpoints& endpoints,
                                                         const RouteBook& book, Sink sink) {
  Fd bell(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  if (!bell) return fail_errno(errno, "make an event descriptor");
  return std::unique_ptr<RedisSource>(
      new RedisSource(settings, endpoints, book, std::move(sink), std::move(bell)));
}

RedisSource::RedisSource(const Settings& settings, Endpoints& endpoints, const RouteBook& book, Sink sink,
                         Fd bell)
    : settings_(settings),
      endpoints_(endpoints),
      book_(book),
      sink_(std::move(sink)),
      frontends_(settings.redis->prefix + "frontend:"),
      bell_(std::move(bell)) {}

RedisSource::~RedisSource() { stop(); }

void RedisSource::stop() {
  thread_.request_stop();
  eventfd_write(bell_.get(), 1);
  if (thread_.joinable()) thread_.join();
  connected_.store(false);
}

void RedisSource::start() {
  thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
}

void RedisSource::died(const RouteRef& route, std::size_t backend) {
  {
    std::lock_guard lock(mutex_);
    if (deaths_.size() >= kMostDeaths) return;
    deaths_.emplace_back(route, backend);
  }
  eventfd_write(bell_.get(), 1);
}

std::uint64_t RedisSource::ask() {
  if (!connected_.load() || !tracked_.load()) return 0;
  const std::uint64_t asked = asked_.fetch_add(1) + 1;
  eventfd_write(bell_.get(), 1);
  return asked;
}

void RedisSource::run(const std::stop_token& stop) {
  int pause = kFirstPause;
  bool told = false;
  while (!stop.stop_requested()) {
    const Result<void> followed = follow(stop);
    if (stop.stop_requested()) return;
    if (connected_.exchange(false)) {
      pause = kFirstPause;
      told = false;
    }
    if (!told) log_warning("proxy", "the routes of Redis stay as they are: {}", followed.error().message);
    told = true;
    wait(-1, pause);
    pause = std::min(pause * 2, kLongestPause);
  }
}

Result<void> RedisSource::follow(const std::stop_token& stop) {
  RedisConnection redis = TRY(RedisConnection::open(*settings_.redis));
  redis.on_push([this](const RespValue& push) { pushed(push); });
  dirty_.clear();
  all_dirty_ = false;
  bool tracked = redis.has_tracking();
  if (tracked) {
    // First this, then what there is: a change in between is told, and read again.
    const RespValue answer = TRY(redis.ask({"CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", frontends_}));
    tracked = answer.type != RespValue::Type::error;
    TRY(redis.subscribe(key("dead", "")));
  }
  TRY(read_all(redis));
  tracked_.store(tracked);
  connected_.store(true);
  log_info("proxy", "the routes of Redis are followed{}", tracked ? "" : " by looking each second");
  while (!stop.stop_requested()) {
    TRY(write_deaths(redis));
    // What the server told while it was answering something is here already: the socket says nothing of it.
    TRY(redis.read_pushes());
    const bool pending = !dirty_.empty() || all_dirty_;
    const bool came = pending || wait(redis.descriptor(), tracked ? kPingEach : kPollEach);
    if (stop.stop_requested()) break;
    // The answer comes behind what the server had to tell when it was asked.
    const std::uint64_t asked = asked_.load();
    if (tracked && (!came || asked != done_.load())) TRY(redis.ask({"PING"}));
    if (!tracked && !came) all_dirty_ = true;
    TRY(redis.read_pushes());
    if (std::exchange(all_dirty_, false))
      TRY(read_all(redis));
    else
      TRY(read_dirty(redis));
    if (done_.exchange(asked) != asked) sink_.answered();
  }
  return {};
}

Result<void> RedisSource::read_all(RedisConnection& redis) {
  std::vector<RouteChange> changes;
  std::string cursor = "0";
  do {
    const RespValue page =
        TRY(redis.ask({"SCAN", cursor, "MATCH", escape_glob(frontends_) + "*", "COUNT", kAtOnceText}));
    if (page.items.size() != 2) return fail(ErrorKind::corrupt, "Redis answered a SCAN with: {}", page.text);
    cursor = page.items[0].text;
    std::vector<std::string> keys;
    for (const RespValue& one : page.items[1].items)
      if (one.text.starts_with(frontends_)) keys.push_back(one.text);
    TRY(read_some_of(redis, keys, changes));
  } while (cursor != "0");
  std::vector<RouteRef> routes;
  std::string all;
  for (RouteChange& change : changes) {
    if (!change.route) continue;
    all.append(change.host).append(" ").append(format_route(*change.route)).append("\n");
    routes.push_back(std::move(change.route));
  }
  // Whoever looks each second finds the same, mostly, and need not write it down again.
  const std::size_t seen = std::hash<std::string>{}(all);
  if (connected_.load() && last_read_ == seen) return {};
  last_read_ = seen;
  sink_.replaced(routes);
  return {};
}

Result<void> RedisSource::read_some_of(RedisConnection& redis, const std::vector<std::string>& keys,
                                       std::vector<RouteChange>& changes) {
  for (const std::string& key : keys) redis.add({"LRANGE", key, "0", "-1"});
  const std::vector<RespValue> lists = TRY(redis.send());
  for (std::size_t at = 0; at < keys.size(); ++at) {
    const std::string_view host = std::string_view(keys[at]).substr(frontends_.size());
    if (!is_looked_up(host)) {
      log_warning("proxy", "the frontend {} is never asked for: hosts are names in lower case", host);
      continue;
    }
    Result<RouteRef> route = route_from_frontend(host, lists[at], endpoints_);
    if (!route) log_warning("proxy", "{}", route.error().message);
    changes.push_back({.host = std::string(host), .route = route ? std::move(*route) : nullptr});
  }
  return {};
}

Result<void> RedisSource::read_dirty(RedisConnection& redis) {
  if (!dirty_.empty()) last_read_.reset();
  while (!dirty_.empty() && !all_dirty_) {
    std::vector<std::string> keys;
    while (!dirty_.empty() && keys.size() < kAtOnce)
      keys.push_back(std::move(dirty_.extract(dirty_.begin()).value()));
    std::vector<RouteChange> changes;
    TRY(read_some_of(redis, keys, changes));
    sink_.changed(changes);
  }
  return {};
}

Result<void> RedisSource::write_deaths(RedisConnection& redis) {
  std::deque<std::pair<RouteRef, std::size_t>> deaths;
  {
    std::lock_guard lock(mutex_);
    deaths.swap(deaths_);
  }
  if (deaths.empty()) return {};
  for (const auto& [route, backend] : deaths) {
    // An index says something of the list in Redis alone.
    if (book_.get(Source::redis, route->host) != route) continue;
    const std::string dead = key("dead:", route->host);
    redis.add({"SADD", dead, std::to_string(backend)});
    redis.add({"EXPIRE", dead, std::to_string(settings_.dead_backend_ttl.count())});
    redis.add({"PUBLISH", key("dead", ""), format_death(*route, backend)});
  }
  if (redis.has_batch()) TRY(redis.send());
  return {};
}

// [invalidate, keys] or [message, channel, text]; keys that are null are all (FLUSHALL).
void RedisSource::pushed(const RespValue& push) {
  if (push.items.size() == 2 && push.items[0].text == "invalidate") {
    if (push.items[1].type == RespValue::Type::null) all_dirty_ = true;
    for (const RespValue& one : push.items[1].items)
      if (one.text.starts_with(frontends_)) dirty_.insert(one.text);
  } else if (push.items.size() == 3 && push.items[0].text == "message") {
    believe(push.items[2].text);
  }
}

void RedisSource::believe(std::string_view message) {
  const std::optional<Death> death = parse_death(message);
  const RouteRef route = death ? book_.get(Source::redis, death->host) : nullptr;
  if (!route || route->backends.size() < 2) return;
  const std::int64_t until = clock_milliseconds() + settings_.dead_here().count();
  for (const Backend& backend : route->backends)
    if (backend.url == death->url) backend.endpoint->dead_until.store(until, std::memory_order_relaxed);
}

bool RedisSource::wait(int descriptor, int milliseconds) {
  pollfd waiting[2] = {{.fd = bell_.get(), .events = POLLIN, .revents = 0},
                       {.fd = descriptor, .events = POLLIN, .revents = 0}};
  if (poll(waiting, descriptor < 0 ? 1 : 2, milliseconds) <= 0) return false;
  eventfd_t count;
  if (waiting[0].revents) eventfd_read(bell_.get(), &count);
  return true;
}

std::string RedisSource::key(std::string_view kind, std::string_view host) const {
  return fmt::format("{}{}{}", settings_.redis->prefix, kind, host);
}

}  // namespace berth::proxy
