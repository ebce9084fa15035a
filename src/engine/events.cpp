// SPDX-License-Identifier: Apache-2.0
#include "engine/events.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>

namespace berth::engine {
namespace {

constexpr std::size_t kMaximumWaiting = 16 * 1024;

}  // namespace

std::optional<Event> EventSubscription::take() {
  std::lock_guard lock(mutex_);
  if (waiting_.empty()) {
    eventfd_t ignored;
    eventfd_read(signal_.get(), &ignored);
    return std::nullopt;
  }
  Event event = std::move(waiting_.front());
  waiting_.pop_front();
  return event;
}

bool EventSubscription::overrun() const {
  std::lock_guard lock(mutex_);
  return overrun_;
}

void EventSubscription::put(const Event& event) {
  std::lock_guard lock(mutex_);
  if (waiting_.size() >= kMaximumWaiting)
    overrun_ = true;
  else
    waiting_.push_back(event);
  eventfd_write(signal_.get(), 1);
}

void EventBus::publish(Event event) {
  if (!event.time) event.time = now();
  std::lock_guard lock(mutex_);
  std::erase_if(subscriptions_, [&](const std::weak_ptr<EventSubscription>& listener) {
    std::shared_ptr<EventSubscription> subscription = listener.lock();
    if (subscription) subscription->put(event);
    return !subscription;
  });
  past_.push_back(std::move(event));
  if (past_.size() > kRemembered) past_.pop_front();
}

Result<std::shared_ptr<EventSubscription>> EventBus::subscribe() {
  Fd signal(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!signal) return fail_errno(errno, "create an event descriptor");
  auto subscription = std::make_shared<EventSubscription>(std::move(signal));
  std::lock_guard lock(mutex_);
  subscriptions_.push_back(subscription);
  return subscription;
}

std::vector<Event> EventBus::since(Timestamp from, Timestamp until) const {
  std::lock_guard lock(mutex_);
  std::vector<Event> found;
  for (const Event& event : past_)
    if (event.time >= from && event.time <= until) found.push_back(event);
  return found;
}

}  // namespace berth::engine
