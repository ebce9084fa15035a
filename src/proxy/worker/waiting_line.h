// SPDX-License-Identifier: Apache-2.0
// Who waits, in the order in which they came. Each keeps its place, by which it leaves from anywhere in the
// line at once: there may be as many as there are clients.
#pragma once
#include <cstddef>
#include <list>
#include <optional>

namespace berth::proxy {

template <class T>
class WaitingLine {
 public:
  using Place = std::optional<typename std::list<T*>::iterator>;  // nothing: not in the line

  void add(T& one, Place& place) {
    if (!place) place = line_.insert(line_.end(), &one);
  }
  void remove(Place& place) noexcept {
    if (place) line_.erase(*place);
    place.reset();
  }
  bool empty() const noexcept { return line_.empty(); }

  // For each that waits now, as many calls as that. Meanwhile anybody may leave or come; then some may be
  // called twice, but nobody who has left.
  template <class Function>
  void each(Function function) {
    for (std::size_t count = line_.size(); count > 0 && !line_.empty(); --count) {
      line_.splice(line_.end(), line_, line_.begin());
      function(*line_.back());
    }
  }

 private:
  std::list<T*> line_;
};

// Somebody with more to do than one round of the worker has time for.
class TakesTurns {
 public:
  virtual ~TakesTurns() = default;
  virtual void next_round() = 0;  // the others had their turn

 protected:
  WaitingLine<TakesTurns>::Place turn_;
};

using Turns = WaitingLine<TakesTurns>;

}  // namespace berth::proxy
