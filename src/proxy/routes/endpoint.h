// SPDX-License-Identifier: Apache-2.0
// A server that requests are sent to: an address, and what is known of its health. All routes that name the
// same address share one, on all workers, and it lives as long as one of them does: a change of a route does
// not forget what was learned.
#pragma once
#include <sys/socket.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/error.h"
#include "proxy/routes/request_limiter.h"

namespace berth::proxy {

// What is spoken there. HTTP/2 is known beforehand (RFC 9113, section 3.3), or with TLS agreed upon by ALPN.
enum class Protocol : std::uint8_t { http1, http2 };

struct Endpoint {
  std::string authority;  // "10.0.0.1:8080", "[::1]:80": what it is told apart by, and the name in logs
  struct Address {
    sockaddr_storage address{};
    socklen_t length = 0;
  };
  using Addresses = std::vector<Address>;  // IPv4 first
  bool tls = false;
  Protocol protocol = Protocol::http1;

  // The one that answered last; where it does not any more, the next is to be tried. Without a length when
  // the name has none, or was never found. Names are looked up again (Endpoints::look_up_again).
  Address address() const;
  void set_addresses(Addresses found);  // does nothing when they are those that there are
  bool has_address() const { return address().length > 0; }
  void try_next_address() noexcept { chosen.fetch_add(1, std::memory_order_relaxed); }

  // Written by workers, each for itself; no order among them is needed.
  std::atomic<std::uint32_t> in_flight{0}, chosen{0};
  std::atomic<std::uint32_t> moves{
      0};  // times that its name got other addresses: older connections lead elsewhere
  std::atomic<std::uint64_t> requests{0}, failures{0};
  std::atomic<std::int64_t> dead_until{0};  // milliseconds of clock_milliseconds(); passive ejection
  std::atomic<bool> unhealthy{false};       // what active checks say
  std::atomic<bool> sought{false};          // its name is being looked up for the first time

  bool alive(std::int64_t now) const noexcept {
    return dead_until.load(std::memory_order_relaxed) <= now && !unhealthy.load(std::memory_order_relaxed);
  }

 private:
  std::atomic<std::shared_ptr<const Addresses>> addresses_;
};

// One of a route's.
struct Backend {
  std::shared_ptr<Endpoint> endpoint;
  std::string url;     // as it was given
  std::string prefix;  // the URL's path without a slash at its end: goes before every target; mostly empty
  std::uint32_t weight = 1;
};

struct RouteState;
class NameLookups;

// All endpoints that there are, and what routes count: both outlive a change of a route. Thread-safe.
class Endpoints {
 public:
  Endpoints();
  ~Endpoints();
  Endpoints(const Endpoints&) = delete;
  Endpoints& operator=(const Endpoints&) = delete;

  // "http://host[:port][/prefix]", or https; h2c and h2 for HTTP/2 without and with TLS, which may be written
  // grpc and grpcs. A name is looked up now, and waited for a moment (NameLookups). One that cannot be looked
  // up may be later: requests find no backend there until then.
  Result<Backend> backend(std::string_view url, std::uint32_t weight = 1);
  // For the first lookup of its name, until then at most.
  void wait_for_name(const Endpoint& endpoint, std::chrono::steady_clock::time_point until);
  // Those that have addresses, or those that have none yet, each the less often when it was not known for
  // long. Takes as long as the resolver does, for each name; asks between them whether it is to stop.
  enum class Names : std::uint8_t { known, unknown };
  void look_up_again(Names which, const std::stop_token& stop);
  // Of the route that `key` names: the one that there is, if it has the same rate.
  std::shared_ptr<RouteState> state_of(const std::string& key,
                                       const std::optional<RequestLimiter::Rate>& rate);

 private:
  Result<std::shared_ptr<Endpoint>> find_or_make(const std::string& host, std::uint16_t port, bool tls,
                                                 Protocol protocol);
  void drop_unused();

  const std::unique_ptr<NameLookups> lookups_;
  std::mutex mutex_;
  std::unordered_map<std::string, std::weak_ptr<Endpoint>> known_;
  struct Named {
    std::weak_ptr<Endpoint> endpoint;
    std::string host;
    std::uint16_t port;
    std::shared_ptr<std::atomic<int>> failures = std::make_shared<std::atomic<int>>(0);  // since it was known
  };
  std::vector<Named> named_;
  std::unordered_map<std::string, std::weak_ptr<RouteState>> states_;
  std::size_t drop_at_ = 1024;
};

std::int64_t clock_milliseconds() noexcept;  // steady, coarse

}  // namespace berth::proxy
