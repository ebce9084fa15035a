// SPDX-License-Identifier: Apache-2.0
#include "engine/work_queue.h"

#include <utility>

namespace berth::engine {

WorkQueue::~WorkQueue() { stop(); }

void WorkQueue::add(std::function<void()> work) {
  std::lock_guard lock(mutex_);
  if (stopping_) return;
  waiting_.push_back(std::move(work));
  if (idle_ == 0 && threads_.size() < maximum_threads_) threads_.emplace_back([this] { run(); });
  changed_.notify_one();
}

void WorkQueue::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    ++idle_;
    changed_.wait(lock, [&] { return stopping_ || !waiting_.empty(); });
    --idle_;
    if (stopping_) return;
    std::function<void()> work = std::move(waiting_.front());
    waiting_.pop_front();
    lock.unlock();
    work();
    work = nullptr;  // its captures go without the lock held
    lock.lock();
  }
}

void WorkQueue::stop() {
  std::vector<std::thread> threads;
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    threads = std::exchange(threads_, {});
    waiting_.clear();
    changed_.notify_all();
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace berth::engine
