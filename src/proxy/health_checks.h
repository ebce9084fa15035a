// SPDX-License-Identifier: Apache-2.0
// Asks the backends of routes that have a check whether they are alive: alive is who answers a GET of its
// path with 2xx or 3xx in time; with TLS or HTTP/2, who can be connected to. One thread for all; none waits
// for another.
#pragma once
#include <map>
#include <memory>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "base/fd.h"
#include "proxy/routes/route_book.h"

namespace berth::proxy {

class HealthChecks {
 public:
  explicit HealthChecks(const RouteBook& book) : book_(book) {}
  void start();

 private:
  struct Check {
    std::shared_ptr<Endpoint> endpoint;
    std::shared_ptr<const HealthCheck> what;
    std::string host;
    std::int64_t due = 0;
    Fd socket;  // while it is under way
    std::int64_t began = 0;
    std::string answer;
    bool sent = false, wanted = false;
  };
  void run(const std::stop_token& stop);
  void gather();
  void gather_of(const Route& route);
  static void begin(Check& check);
  static void go_on(Check& check);
  static void end(Check& check, bool healthy);

  const RouteBook& book_;
  std::map<std::string, Check> checks_;  // by endpoint and path
  std::jthread thread_;
};

}  // namespace berth::proxy
