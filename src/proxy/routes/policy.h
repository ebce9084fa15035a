// SPDX-License-Identifier: Apache-2.0
// What few routes ask for beyond backends: parts of the host's paths that go elsewhere, who may ask and how
// often, what is changed in a message, what part of the requests goes to a new version. Most routes have none
// of it, and pay for one null pointer.
#pragma once
#include <atomic>
#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "proxy/network.h"
#include "proxy/routes/request_limiter.h"

namespace berth::proxy {

struct Route;

// Fields that the proxy itself has to say, and those of one connection, cannot be changed.
struct HeaderChanges {
  std::vector<std::string> dropped;  // in lower case; what is set anew is dropped first
  std::string lines;                 // "Name: value\r\n"..., behind what is left
  bool empty() const noexcept { return dropped.empty() && lines.empty(); }
  bool drops(std::string_view name) const noexcept;
};

// RFC 7617. The password is for this proxy: it is not passed on, the user's name is, as X-Forwarded-User.
struct BasicAuthentication {
  std::string realm = "restricted";
  std::map<std::string, std::string, std::less<>> users;  // a password's hash, of crypt(3)
};

struct RequestLimits {
  std::optional<RequestLimiter::Rate> rate;  // beyond: 429
  std::uint32_t concurrent = 0;              // requests under way; beyond: 503. 0: no limit
  std::uint64_t body = 0;                    // bytes; beyond: 413. 0: no limit
};

struct Maintenance {
  std::string page;               // HTML; empty: the proxy's own for 503
  std::uint32_t retry_after = 0;  // seconds; 0: nothing is said
  std::vector<Network> except;    // whose requests go through
};

struct RedirectToHttps {
  std::uint16_t port = 443;
};

// What routes with limits count. It is found again by the route that replaces one.
struct RouteState {
  std::atomic<std::uint32_t> in_flight{0};
  std::unique_ptr<RequestLimiter> limiter;  // null: no limit
  RetryBudget retries;
};

struct RoutePolicy {
  // The host's paths that have a route of their own, the longest first: "/api" is for itself and all below
  // it.
  std::vector<std::shared_ptr<const Route>> paths;
  bool strips_path = false;  // the route's own path is cut from what is sent to backends

  std::optional<RedirectToHttps> redirect;
  std::optional<Maintenance> maintenance;
  std::vector<Network> allowed, denied;  // no `allowed`: everybody is who is not denied. Beyond: 403
  std::optional<BasicAuthentication> authentication;
  RequestLimits limits;
  HeaderChanges request_fields, answer_fields;

  std::optional<std::size_t> first_canary;  // of the route's backends: this one and those behind it
  double canary_percent = 0;                // of requests, that go to those
  std::shared_ptr<const Route> mirror;      // that gets a copy of requests; its answers are nobody's
  double mirror_percent = 100;

  std::optional<unsigned> retries;
  double retry_budget_percent = 0;  // 0: no budget
  std::optional<std::chrono::milliseconds> connect_timeout, answer_timeout;

  std::shared_ptr<RouteState> state;  // null: nothing is counted
  std::string document;               // as it was given
};

}  // namespace berth::proxy
