// SPDX-License-Identifier: Apache-2.0
#include "proxy/worker/timers.h"

#include <algorithm>

namespace berth::proxy {
Timed::~Timed() { unlink(); }

void Timed::link(Timed*& head) noexcept {
  next_ = head;
  previous_ = &head;
  if (head) head->previous_ = &next_;
  head = this;
}

void Timed::unlink() noexcept {
  if (!previous_) return;
  *previous_ = next_;
  if (next_) next_->previous_ = previous_;
  next_ = nullptr;
  previous_ = nullptr;
}

void Timers::set(Timed& timed, std::int64_t milliseconds_from_now) noexcept {
  timed.deadline_ = now_ + milliseconds_from_now;
  if (timed.listed_ != 0 && timed.listed_ <= timed.deadline_) return;
  timed.unlink();
  list(timed, timed.deadline_);
}

// What lies further away than the wheel reaches comes round and is listed again.
void Timers::list(Timed& timed, std::int64_t when) noexcept {
  const std::int64_t tick =
      std::clamp<std::int64_t>(when / kTick + 1, tick_ + 1, tick_ + static_cast<std::int64_t>(kSlots) - 1);
  timed.listed_ = when;
  timed.link(slots_[static_cast<std::size_t>(tick) % kSlots]);
}

void Timers::advance(std::int64_t now) {
  now_ = now;
  const std::int64_t to = now / kTick;
  while (tick_ < to) run_slot(static_cast<std::size_t>(++tick_) % kSlots);
}

// One by one from the head: what is called may end others. What is not due is listed again when the slot is
// empty, since it may come to lie in this one.
void Timers::run_slot(std::size_t slot) {
  Timed* later = nullptr;
  while (Timed* timed = slots_[slot]) {
    timed->unlink();
    timed->listed_ = 0;
    if (timed->deadline_ > now_) timed->link(later);
    if (timed->deadline_ == 0 || timed->deadline_ > now_) continue;
    timed->deadline_ = 0;
    timed->on_deadline();
  }
  while (Timed* timed = later) {
    timed->unlink();
    if (timed->deadline_ != 0) list(*timed, timed->deadline_);
  }
}

}  // namespace berth::proxy
