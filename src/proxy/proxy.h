// SPDX-License-Identifier: Apache-2.0
// The load balancer: routes from all their sources, workers that serve by them, and the API that changes
// them.
//
//   std::unique_ptr<Proxy> proxy = TRY(Proxy::open(std::move(settings), take_inherited()));
//   TRY(proxy->start());
//   ...                    // signals
//   proxy->drain();        // returns when no request is under way any more, or its time is over
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "proxy/admin/admin_api.h"
#include "proxy/engine_source.h"
#include "proxy/health_checks.h"
#include "proxy/listening.h"
#include "proxy/redis/redis_source.h"
#include "proxy/routes/route_book.h"
#include "proxy/routes/route_store.h"
#include "proxy/settings.h"
#include "proxy/worker/worker.h"

namespace berth::proxy {

class Proxy {
 public:
  // Binds, reads what is on disk, and becomes the user that the settings name.
  static Result<std::unique_ptr<Proxy>> open(Settings settings, Inherited inherited);
  ~Proxy();

  // What can be told of the settings without listening: the files that they name are read.
  static Result<void> check(const Settings& settings);

  Result<void> start();
  void drain();
  void reopen_logs();
  // To the program that is at this one's path now. When it serves, this one is to drain(); it is told which
  // process that is.
  Result<pid_t> hand_over_to(char* const* arguments);

 private:
  class Deaths;
  explicit Proxy(Settings settings);
  Result<void> open_tls();
  Result<void> open_routes();
  Result<void> read_stored(Source source);
  Result<void> open_admin(Inherited& inherited);
  Result<void> open_workers(std::vector<std::vector<ListeningSocket>> listening);
  Result<void> open_redis();
  Result<void> start_admin();
  Result<void> take_up_changes();
  void look_again();
  void run_chores(const std::stop_token& stop);
  std::string metrics() const;

  const Settings settings_;
  PublishedRoutes published_;
  RouteBook book_;
  const std::shared_ptr<Endpoints> names_and_endpoints_ = std::make_shared<Endpoints>();
  Endpoints& endpoints_ = *names_and_endpoints_;
  ErrorPages pages_;
  std::unique_ptr<RouteStore> store_;
  std::unique_ptr<Deaths> deaths_;
  std::unique_ptr<ServerTls> tls_;
  SslContext upstream_tls_;
  std::vector<ListeningSocket> sockets_;  // copies, to be handed over
  Fd ready_, admin_socket_;
  PasswordChecker passwords_;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::unique_ptr<RedisSource> redis_;
  std::unique_ptr<EngineSource> engine_;
  std::unique_ptr<HealthChecks> health_;
  std::unique_ptr<AdminApi> admin_;
  std::jthread chores_;              // what is looked at now and then
  std::vector<std::jthread> names_;  // of backends, whose resolver may take its time
};

}  // namespace berth::proxy
