// SPDX-License-Identifier: Apache-2.0
// Events and where they are posted: the CNCF registry's envelope (distribution, about/notifications.md).
#pragma once
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "registryd/settings.h"

namespace berth::registryd {

struct Event {
  std::string action;  // "push", "pull", "mount", "delete"
  std::string repository, digest, media_type, tag, from_repository;
  std::int64_t size = 0;
  std::string user, address, method, host, user_agent, url;
};

// One thread an endpoint posts what is queued, and tries again what failed. A full queue drops the oldest
// event, and counts it.
class Notifier {
 public:
  explicit Notifier(const std::vector<NotificationEndpoint>& endpoints);
  ~Notifier();  // gives up on what is queued still
  bool active() const noexcept { return !queues_.empty(); }
  void post(const Event& event);
  std::uint64_t dropped() const;

 private:
  struct Queue;
  std::vector<std::unique_ptr<Queue>> queues_;
};

}  // namespace berth::registryd
