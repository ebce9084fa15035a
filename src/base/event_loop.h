// SPDX-License-Identifier: Apache-2.0
// An event loop for the small programs that have one: epoll and one-shot timers, one thread. Callbacks may
// watch, change and forget descriptors, their own included.
#pragma once
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>

#include "base/error.h"
#include "base/fd.h"

namespace berth {

class EventLoop {
 public:
  using Callback = std::function<void(std::uint32_t events)>;  // EPOLLIN, EPOLLOUT, EPOLLHUP, ...
  using Timer = std::uint64_t;

  static Result<EventLoop> create();

  // Level-triggered. A descriptor is watched once at most and must be forgotten before it is closed.
  Result<void> watch(int descriptor, std::uint32_t events, Callback callback);
  void change(int descriptor, std::uint32_t events);
  void forget(int descriptor);

  Timer after(std::chrono::nanoseconds delay, std::function<void()> callback);
  void cancel(Timer timer);

  // Waits for the next events or the next timer and runs their callbacks.
  Result<void> run_once();

 private:
  explicit EventLoop(Fd epoll) : epoll_(std::move(epoll)) {}
  int milliseconds_to_next_timer() const;
  void run_due_timers();

  struct Pending {
    std::chrono::steady_clock::time_point due;
    std::function<void()> callback;
  };
  Fd epoll_;
  // Shared so that a callback which forgets its own descriptor does not destroy itself while it runs.
  std::map<int, std::shared_ptr<Callback>> callbacks_;
  std::map<Timer, Pending> timers_;
  Timer last_timer_ = 0;
};

}  // namespace berth
