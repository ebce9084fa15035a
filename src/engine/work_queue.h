// SPDX-License-Identifier: Apache-2.0
// Work that must not hold up whoever found it: removals, restarts at start-up. A few threads take it in
// order; an idle queue has one.
#pragma once
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace berth::engine {

class WorkQueue {
 public:
  explicit WorkQueue(std::size_t maximum_threads) : maximum_threads_(maximum_threads) {}
  ~WorkQueue();  // finishes what runs, drops what waits: a later engine's start finds and does it
  WorkQueue(const WorkQueue&) = delete;
  WorkQueue& operator=(const WorkQueue&) = delete;

  void add(std::function<void()> work);
  void stop();  // as the destructor; add() does nothing afterwards

 private:
  void run();

  const std::size_t maximum_threads_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> waiting_;
  std::vector<std::thread> threads_;
  std::size_t idle_ = 0;
  bool stopping_ = false;
};

}  // namespace berth::engine
