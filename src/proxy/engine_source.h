// SPDX-License-Identifier: Apache-2.0
// Routes of an engine's containers, by their labels:
//
//   berth.route.host   the host; several, separated by commas
//   berth.route.port   the container's port; 80 when it is not said
//
// A container is a backend once it runs, and is healthy if it has a check; it leaves when it is told to stop,
// before it has. Several of one host share its requests. While the engine is away the routes stay.
#pragma once
#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <set>
#include <stop_token>
#include <string>
#include <thread>

#include "http/client.h"
#include "proxy/routes/route_book.h"

namespace berth::proxy {

class EngineSource {
 public:
  EngineSource(RouteBook& book, Endpoints& endpoints) : book_(book), endpoints_(endpoints) {}
  ~EngineSource();

  // "unix:///run/berth/berth.sock", from now on; empty: none.
  Result<void> follow(const std::string& engine);
  std::string engine() const;

 private:
  void run(const std::string& engine, const std::stop_token& stop);
  Result<void> listen(const http::Endpoint& endpoint, const std::stop_token& stop);
  Result<void> read_containers(http::Client& client);
  void note_event(std::string_view line);

  RouteBook& book_;
  Endpoints& endpoints_;
  mutable std::mutex mutex_;
  std::string engine_;
  std::set<std::string> leaving_;  // containers that were told to stop
  std::jthread thread_;
};

}  // namespace berth::proxy
