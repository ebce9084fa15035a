// SPDX-License-Identifier: Apache-2.0
// Deadlines of connections: a wheel of lists. A deadline that moves away, as it does with every request, is
// only written down; the wheel looks at it when the old one has come. Coarse: up to a tick late.
#pragma once
#include <array>
#include <cstdint>

namespace berth::proxy {

class Timers;

class Timed {
 public:
  Timed() = default;
  Timed(const Timed&) = delete;
  Timed& operator=(const Timed&) = delete;
  virtual ~Timed();
  virtual void on_deadline() = 0;

 private:
  friend class Timers;
  void link(Timed*& head) noexcept;
  void unlink() noexcept;

  std::int64_t deadline_ = 0;  // milliseconds of clock_milliseconds(); 0: none
  std::int64_t listed_ = 0;    // for when the wheel has it; 0: not in the wheel
  Timed* next_ = nullptr;
  Timed** previous_ = nullptr;
};

class Timers {
 public:
  static constexpr std::int64_t kTick = 50;  // milliseconds

  explicit Timers(std::int64_t now) : now_(now), tick_(now / kTick) {}

  // As of the last advance(): the time of this round.
  std::int64_t now() const noexcept { return now_; }

  void set(Timed& timed, std::int64_t milliseconds_from_now) noexcept;
  void clear(Timed& timed) noexcept { timed.deadline_ = 0; }

  void advance(std::int64_t now);  // calls those whose deadline has come

 private:
  static constexpr std::size_t kSlots = 1024;
  void list(Timed& timed, std::int64_t when) noexcept;
  void run_slot(std::size_t slot);

  std::int64_t now_, tick_;
  std::array<Timed*, kSlots> slots_{};
};

}  // namespace berth::proxy
