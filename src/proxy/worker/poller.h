// SPDX-License-Identifier: Apache-2.0
// What a worker waits in: epoll, edge-triggered. Each descriptor is watched once, for everything and for
// ever, so that a request costs no call to say what is waited for: whoever is told that there is something
// remembers it until a call has said that there is no more.
#pragma once
#include <sys/epoll.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "base/error.h"
#include "base/fd.h"

namespace berth::proxy {

class EventTarget {
 public:
  EventTarget() = default;
  EventTarget(const EventTarget&) = delete;
  EventTarget& operator=(const EventTarget&) = delete;
  virtual ~EventTarget() = default;
  virtual void on_events(std::uint32_t events) = 0;  // EPOLLIN, EPOLLOUT, EPOLLRDHUP, EPOLLHUP, EPOLLERR

 protected:
  // Before the descriptor is closed. The close alone is not enough: a program that is being started has
  // copies of all descriptors for a moment, and while it has, the kernel tells of this one, to a target that
  // is gone.
  void leave_poller(int descriptor) noexcept;

 private:
  friend class Poller;
  int epoll_ = -1;  // that the descriptor is watched in
};

class Poller {
 public:
  static Result<Poller> create();

  Result<void> watch(int descriptor, EventTarget& target,
                     std::uint32_t events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
  // The same descriptor is another target's from now on. What is there is told to that one anew.
  Result<void> hand_to(int descriptor, EventTarget& target);
  // Before the target goes, unless it left by itself.
  void forget(int descriptor) noexcept;

  // Waits so long, at most, and calls the targets of what came.
  int wait(int milliseconds);
  void dispatch(int count);

  // A target that others of this round may still have events for: it goes behind the round.
  void bury(std::unique_ptr<EventTarget> target) { buried_.push_back(std::move(target)); }
  void clear_buried() { buried_.clear(); }

 private:
  explicit Poller(Fd epoll) : epoll_(std::move(epoll)) {}
  static constexpr int kMostEvents = 256;

  Fd epoll_;
  std::vector<epoll_event> events_ = std::vector<epoll_event>(kMostEvents);
  std::vector<std::unique_ptr<EventTarget>> buried_;
};

}  // namespace berth::proxy
