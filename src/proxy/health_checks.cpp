// SPDX-License-Identifier: Apache-2.0
#include "proxy/health_checks.h"

#include <poll.h>
#include <sys/socket.h>

#include <cerrno>

#include "base/log.h"
#include "proxy/worker/upstream_socket.h"

namespace berth::proxy {
namespace {

constexpr std::int64_t kGatherEach = 200;  // milliseconds: how soon a route's new check begins
constexpr int kRound = 20;
constexpr std::size_t kStatusLine = 12;  // "HTTP/1.1 200"

// Whoever answers HTTP/1 at an address may not do so for HTTP/2.
std::string key_of(const Endpoint& endpoint) {
  return fmt::format("{}{} {}", endpoint.tls, endpoint.protocol == Protocol::http2, endpoint.authority);
}

}  // namespace

void HealthChecks::start() {
  thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
}

// Those of endpoints that no route checks any more go, and what they said with them.
void HealthChecks::gather() {
  for (auto& [key, check] : checks_) check.wanted = false;
  for (const RouteBook::Found& found : book_.with_checks()) {
    gather_of(*found.route);
    if (!found.route->policy) continue;
    for (const RouteRef& path : found.route->policy->paths) gather_of(*path);
  }
  std::erase_if(checks_, [](auto& one) {
    if (!one.second.wanted) one.second.endpoint->unhealthy.store(false);
    return !one.second.wanted;
  });
}

void HealthChecks::gather_of(const Route& route) {
  if (!route.options.health) return;
  for (const Backend& backend : route.backends) {
    Check& check = checks_[key_of(*backend.endpoint) + " " + route.options.health->path];
    check.endpoint = backend.endpoint;
    check.what = route.options.health;
    check.host = route.host.starts_with('*') ? backend.endpoint->authority : route.host;
    check.wanted = true;
  }
}

void HealthChecks::run(const std::stop_token& stop) {
  std::int64_t gathered = 0;
  while (!stop.stop_requested()) {
    const std::int64_t now = clock_milliseconds();
    if (now - gathered >= kGatherEach) {
      gather();
      gathered = now;
    }
    std::vector<pollfd> waiting;
    std::vector<Check*> under_way;
    for (auto& [key, check] : checks_) {
      if (!check.socket && check.due <= now) begin(check);
      if (check.socket && now - check.began > check.what->timeout.count()) end(check, false);
      if (!check.socket) continue;
      waiting.push_back({.fd = check.socket.get(),
                         .events = static_cast<short>(check.sent ? POLLIN : POLLOUT),
                         .revents = 0});
      under_way.push_back(&check);
    }
    poll(waiting.data(), waiting.size(), under_way.empty() ? static_cast<int>(kGatherEach) / 2 : kRound);
    for (std::size_t at = 0; at < waiting.size(); ++at)
      if (waiting[at].revents) go_on(*under_way[at]);
  }
}

void HealthChecks::begin(Check& check) {
  check.began = clock_milliseconds();
  check.due = check.began + check.what->interval.count();
  check.sent = false;
  check.answer.clear();
  std::expected<Fd, NoWay> socket = open_upstream_socket(*check.endpoint);
  if (socket) {
    check.socket = std::move(*socket);
  } else if (socket.error() == NoWay::backend) {
    end(check, false);
  }
}

void HealthChecks::go_on(Check& check) {
  if (check.endpoint->tls || check.endpoint->protocol == Protocol::http2) {
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(check.socket.get(), SOL_SOCKET, SO_ERROR, &error, &size);
    return end(check, error == 0);
  }
  if (!check.sent) {
    const std::string request =
        fmt::format("GET {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: berth-proxy\r\nConnection: close\r\n\r\n",
                    check.what->path, check.host);
    check.sent = true;
    if (send(check.socket.get(), request.data(), request.size(), MSG_NOSIGNAL) !=
        static_cast<ssize_t>(request.size()))
      end(check, false);
    return;
  }
  char buffer[256];
  const ssize_t count = recv(check.socket.get(), buffer, sizeof buffer, 0);
  if (count < 0 && errno == EAGAIN) return;
  if (count > 0) check.answer.append(buffer, static_cast<std::size_t>(count));
  if (check.answer.size() < kStatusLine && count > 0) return;
  end(check, check.answer.size() >= kStatusLine && check.answer.starts_with("HTTP/1.") &&
                 (check.answer[9] == '2' || check.answer[9] == '3'));
}

void HealthChecks::end(Check& check, bool healthy) {
  check.socket.reset();
  if (check.endpoint->unhealthy.exchange(!healthy) == healthy)
    log_info("proxy", "the backend {} is {}", check.endpoint->authority,
             healthy ? "alive again" : "not alive");
}

}  // namespace berth::proxy
