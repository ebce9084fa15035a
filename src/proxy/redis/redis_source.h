// SPDX-License-Identifier: Apache-2.0
// Follows the frontends of a Redis server: all of them once, then each change as the server tells of it
// (client tracking, Redis 6 and newer), or by looking again each second (older ones). While the server is
// away the routes stay; when it is back, all is read again. Deaths of backends are written down there, for
// other proxies, and those that others tell of are believed.
#pragma once
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "base/fd.h"
#include "proxy/redis/redis_connection.h"
#include "proxy/routes/route_book.h"
#include "proxy/worker/core.h"

namespace berth::proxy {

class RedisSource final : public DeathListener, public RouteSource {
 public:
  struct Sink {
    std::function<void(const std::vector<RouteChange>&)> changed;
    std::function<void(const std::vector<RouteRef>&)> replaced;
    std::function<void()> answered;  // has_done() says more than before
  };
  static Result<std::unique_ptr<RedisSource>> create(const Settings& settings, Endpoints& endpoints,
                                                     const RouteBook& book, Sink sink);
  ~RedisSource() override;

  void start();
  void stop();  // follows nothing until the next start(); the routes stay
  void died(const RouteRef& route, std::size_t backend) override;
  std::uint64_t ask() override;
  bool has_done(std::uint64_t asked) const override { return done_.load() >= asked || !connected_.load(); }
  bool connected() const noexcept { return connected_.load(); }

 private:
  RedisSource(const Settings& settings, Endpoints& endpoints, const RouteBook& book, Sink sink, Fd bell);
  void run(const std::stop_token& stop);
  Result<void> follow(const std::stop_token& stop);
  Result<void> read_all(RedisConnection& redis);
  Result<void> read_some_of(RedisConnection& redis, const std::vector<std::string>& keys,
                            std::vector<RouteChange>& changes);
  Result<void> read_dirty(RedisConnection& redis);
  Result<void> write_deaths(RedisConnection& redis);
  void pushed(const RespValue& push);
  void believe(std::string_view message);
  bool wait(int descriptor, int milliseconds);
  std::string key(std::string_view kind, std::string_view host) const;

  const Settings& settings_;
  Endpoints& endpoints_;
  const RouteBook& book_;
  const Sink sink_;
  const std::string frontends_;  // the prefix of their keys
  Fd bell_;
  std::set<std::string> dirty_;  // keys to be read again
  bool all_dirty_ = false;
  std::optional<std::size_t> last_read_;  // a hash of all that was read at once, when nothing was since
  std::mutex mutex_;
  std::deque<std::pair<RouteRef, std::size_t>> deaths_;
  std::atomic<std::uint64_t> asked_{0}, done_{0};
  std::atomic<bool> connected_{false}, tracked_{false};
  std::jthread thread_;
};

}  // namespace berth::proxy
