// SPDX-License-Identifier: Apache-2.0
#include "base/event_loop.h"

#include <sys/epoll.h>

#include <algorithm>
#include <cerrno>
#include <vector>

namespace berth {

Result<EventLoop> EventLoop::create() {
  int epoll = epoll_create1(EPOLL_CLOEXEC);
  if (epoll < 0) return fail_errno(errno, "create an epoll instance");
  return EventLoop(Fd(epoll));
}

Result<void> EventLoop::watch(int descriptor, std::uint32_t events, Callback callback) {
  epoll_event event{};
  event.events = events;
  event.data.fd = descriptor;
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, descriptor, &event) != 0)
    return fail_errno(errno, "watch descriptor {}", descriptor);
  callbacks_[descriptor] = std::make_shared<Callback>(std::move(callback));
  return {};
}

void EventLoop::change(int descriptor, std::uint32_t events) {
  epoll_event event{};
  event.events = events;
  event.data.fd = descriptor;
  epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, descriptor, &event);
}

void EventLoop::forget(int descriptor) {
  if (callbacks_.erase(descriptor) > 0) epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, descriptor, nullptr);
}

EventLoop::Timer EventLoop::after(std::chrono::nanoseconds delay, std::function<void()> callback) {
  timers_[++last_timer_] = Pending{std::chrono::steady_clock::now() + delay, std::move(callback)};
  return last_timer_;
}

void EventLoop::cancel(Timer timer) { timers_.erase(timer); }

int EventLoop::milliseconds_to_next_timer() const {
  if (timers_.empty()) return -1;
  auto next = std::min_element(timers_.begin(), timers_.end(),
                               [](const auto& a, const auto& b) { return a.second.due < b.second.due; });
  auto wait =
      std::chrono::ceil<std::chrono::milliseconds>(next->second.due - std::chrono::steady_clock::now());
  return static_cast<int>(std::clamp<std::int64_t>(wait.count(), 0, 3'600'000));
}

void EventLoop::run_due_timers() {
  const auto time = std::chrono::steady_clock::now();
  std::vector<std::function<void()>> due;
  for (auto timer = timers_.begin(); timer != timers_.end();) {
    if (timer->second.due > time) {
      ++timer;
      continue;
    }
    due.push_back(std::move(timer->second.callback));
    timer = timers_.erase(timer);
  }
  for (auto& callback : due) callback();
}

Result<void> EventLoop::run_once() {
  epoll_event events[32];
  int count = epoll_wait(epoll_.get(), events, 32, milliseconds_to_next_timer());
  if (count < 0 && errno != EINTR) return fail_errno(errno, "wait for events");
  for (int i = 0; i < count; ++i) {
    // An earlier callback of this round may have forgotten the descriptor.
    auto found = callbacks_.find(events[i].data.fd);
    if (found == callbacks_.end()) continue;
    std::shared_ptr<Callback> callback = found->second;
    (*callback)(events[i].events);
  }
  run_due_timers();
  return {};
}

}  // namespace berth
