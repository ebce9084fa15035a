// SPDX-License-Identifier: Apache-2.0
#include "proxy/worker/http2_upstreams.h"

#include <algorithm>

#include "proxy/worker/http2_upstream.h"
#include "proxy/worker/upstream_socket.h"

namespace berth::proxy {

Http2Upstreams::Http2Upstreams(const Parts& parts) : parts_(parts) {}

Http2Upstreams::~Http2Upstreams() = default;

std::expected<Upstream, NoWay> Http2Upstreams::begin(const std::shared_ptr<Endpoint>& endpoint,
                                                     UpstreamUser& user) {
  Http2Upstream* connection = find(*endpoint);
  if (!connection) {
    const std::expected<Http2Upstream*, NoWay> connected = connect(endpoint);
    if (!connected) return std::unexpected(connected.error());
    connection = *connected;
  }
  auto stream = std::make_unique<Http2UpstreamStream>(*this, endpoint, user);
  connection->take(*stream);
  return stream;
}

// What a connection without streams has heard meanwhile is looked at first: it may be its end.
Http2Upstream* Http2Upstreams::find(const Endpoint& endpoint) {
  for (;;) {
    const auto found = connections_.find(&endpoint);
    if (found == connections_.end()) return nullptr;
    const auto usable = std::ranges::find_if(found->second, [](auto& one) { return one->has_room(); });
    if (usable == found->second.end()) return nullptr;
    Http2Upstream* connection = usable->get();
    if (connection->still_there()) return connection;
  }
}

std::expected<Http2Upstream*, NoWay> Http2Upstreams::connect(const std::shared_ptr<Endpoint>& endpoint) {
  const std::uint32_t moves = endpoint->moves.load();  // before the address is asked for
  std::expected<Fd, NoWay> socket = open_upstream_socket(*endpoint);
  if (!socket) return std::unexpected(socket.error());
  Ssl tls;
  if (endpoint->tls && !(tls = start_upstream_tls(parts_.tls, socket->get(), *endpoint)))
    return std::unexpected(NoWay::backend);
  auto connection =
      std::make_unique<Http2Upstream>(*this, std::move(*socket), std::move(tls), endpoint, moves);
  if (!parts_.poller.watch(connection->descriptor(), *connection)) return std::unexpected(NoWay::here);
  parts_.counters.backend_connections.add();
  connection->start();
  connections_[endpoint.get()].push_back(std::move(connection));
  return connections_[endpoint.get()].back().get();
}

void Http2Upstreams::run_later(Http2Upstream& connection) {
  if (std::ranges::find(waiting_, &connection) == waiting_.end()) waiting_.push_back(&connection);
}

void Http2Upstreams::run_waiting() {
  std::vector<Http2Upstream*> now;
  now.swap(waiting_);
  // One that ends on the way stays in memory until the round is over, and does nothing any more.
  for (Http2Upstream* connection : now) connection->run();
}

void Http2Upstreams::gone(Http2Upstream& connection) {
  std::erase(waiting_, &connection);
  const auto found = connections_.find(&connection.endpoint());
  if (found == connections_.end()) return;
  const auto at = std::ranges::find_if(found->second, [&](auto& one) { return one.get() == &connection; });
  if (at == found->second.end()) return;
  parts_.poller.bury(std::move(*at));  // behind this round: run_waiting() may hold it
  found->second.erase(at);
  if (found->second.empty()) connections_.erase(found);
}

void Http2Upstreams::close_idle() {
  draining_ = true;
  std::vector<Http2Upstream*> all;
  for (auto& [endpoint, connections] : connections_)
    for (auto& connection : connections) all.push_back(connection.get());
  for (Http2Upstream* connection : all) connection->retire();
}

}  // namespace berth::proxy
