// SPDX-License-Identifier: Apache-2.0
// What is done with the requests for a host. A route never changes: whoever changes one puts another in its
// place (route_table.h), and requests that are under way end with the one that they began with.
#pragma once
#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "proxy/routes/endpoint.h"
#include "proxy/routes/policy.h"

namespace berth::proxy {

enum class Balancing : std::uint8_t { random_of_two, round_robin, hash };

// An active check of each backend: alive is who answers 2xx or 3xx in time.
struct HealthCheck {
  std::string path = "/";
  std::chrono::milliseconds interval{5000};
  std::chrono::milliseconds timeout{2000};
};

// What few routes have.
struct RouteOptions {
  Balancing balancing = Balancing::random_of_two;
  bool sticky = false;  // a cookie brings a client back to its backend
  std::shared_ptr<const HealthCheck> health;
};

struct Route {
  std::string host;  // lower case; "*.suffix" for all below it, "*" for all that have none
  std::string path;  // of RoutePolicy::paths: "/api"; empty for the host's own
  std::string id;    // Hipache's: the name in the access log
  std::vector<Backend> backends;
  RouteOptions options;
  std::shared_ptr<const RoutePolicy> policy;   // null: none
  mutable std::atomic<std::uint32_t> turn{0};  // of round robin
};
using RouteRef = std::shared_ptr<const Route>;

// Lower case, and what a host may be here; ErrorKind::invalid with the reason otherwise.
Result<std::string> checked_host(std::string_view host);

}  // namespace berth::proxy
