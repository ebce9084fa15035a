// SPDX-License-Identifier: Apache-2.0
#include "proxy/worker/poller.h"

#include <cerrno>
#include <utility>

namespace berth::proxy {

Result<Poller> Poller::create() {
  Fd epoll(epoll_create1(EPOLL_CLOEXEC));
  if (!epoll) return fail_errno(errno, "create an epoll instance");
  return Poller(std::move(epoll));
}

void EventTarget::leave_poller(int descriptor) noexcept {
  if (epoll_ >= 0) epoll_ctl(std::exchange(epoll_, -1), EPOLL_CTL_DEL, descriptor, nullptr);
}

Result<void> Poller::watch(int descriptor, EventTarget& target, std::uint32_t events) {
  epoll_event event{};
  event.events = events;
  event.data.ptr = &target;
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, descriptor, &event) != 0)
    return fail_errno(errno, "watch a connection");
  target.epoll_ = epoll_.get();
  return {};
}

Result<void> Poller::hand_to(int descriptor, EventTarget& target) {
  epoll_event event{};
  event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
  event.data.ptr = &target;
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, descriptor, &event) != 0)
    return fail_errno(errno, "watch a connection");
  target.epoll_ = epoll_.get();
  return {};
}

void Poller::forget(int descriptor) noexcept { epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, descriptor, nullptr); }

int Poller::wait(int milliseconds) {
  return epoll_wait(epoll_.get(), events_.data(), kMostEvents, milliseconds);
}

void Poller::dispatch(int count) {
  for (int at = 0; at < count; ++at) {
    const epoll_event& event = events_[static_cast<std::size_t>(at)];
    static_cast<EventTarget*>(event.data.ptr)->on_events(event.events);
  }
}

}  // namespace berth::proxy
