// SPDX-License-Identifier: Apache-2.0
// What happened, for `docker events`: a short memory for replay and any number of listeners. A listener that
// does not read is cut off rather than waited for.
#pragma once
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/fd.h"

namespace berth::engine {

struct Event {
  std::string type;    // "container", "image", "network", "volume", "daemon"
  std::string action;  // "create", "die", "exec_start: sh", ...
  std::string actor;   // id, or an image's name
  std::map<std::string, std::string> attributes;
  Timestamp time;
};

// Events in order, from subscribe() on. Poll descriptor() for POLLIN, then take() until it gives nothing.
class EventSubscription {
 public:
  explicit EventSubscription(Fd signal) : signal_(std::move(signal)) {}
  int descriptor() const noexcept { return signal_.get(); }
  std::optional<Event> take();
  bool overrun() const;  // events were lost because too many waited: the listener should end

 private:
  friend class EventBus;
  void put(const Event& event);
  Fd signal_;
  mutable std::mutex mutex_;
  std::deque<Event> waiting_;
  bool overrun_ = false;
};

class EventBus {
 public:
  void publish(Event event);  // sets the time when it is not set
  Result<std::shared_ptr<EventSubscription>> subscribe();
  std::vector<Event> since(Timestamp from, Timestamp until) const;  // of those still remembered

 private:
  static constexpr std::size_t kRemembered = 1024;
  mutable std::mutex mutex_;
  std::deque<Event> past_;
  std::vector<std::weak_ptr<EventSubscription>> subscriptions_;
};

}  // namespace berth::engine
