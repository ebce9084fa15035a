// SPDX-License-Identifier: Apache-2.0
#include "api/line_queue.h"

#include <utility>

namespace berth::api {
namespace {

constexpr std::size_t kAtOnce = 64u << 10;

}  // namespace

LineQueue::LineQueue(Send send) : send_(std::move(send)), thread_([this] { send_until_stopped(); }) {}

LineQueue::~LineQueue() {
  {
    std::lock_guard lock(mutex_);
    gone_ = true;
  }
  finish();
}

bool LineQueue::push(std::string line, Keep keep) {
  std::unique_lock lock(mutex_);
  if (gone_) return true;
  if (stopped_) {
    gone_ = !send_(line);
    return true;
  }
  if (keep == Keep::if_room) {
    if (!full_ && !has_room_for(line.size()))
      full_ = !taken_.wait_for(lock, kPatience, [&] { return half_is_free(); });
    if (half_is_free()) full_ = false;
    if (full_) return false;
  }
  queued_ += line.size();
  lines_.push_back(std::move(line));
  filled_.notify_one();
  return true;
}

void LineQueue::finish() {
  {
    std::lock_guard lock(mutex_);
    stopped_ = true;
  }
  filled_.notify_one();
  if (thread_.joinable()) thread_.join();
}

void LineQueue::send_until_stopped() {
  std::unique_lock lock(mutex_);
  for (;;) {
    filled_.wait(lock, [&] { return stopped_ || gone_ || !lines_.empty(); });
    if (gone_ || lines_.empty()) return;
    const std::string text = take_some();
    lock.unlock();
    const bool sent = send_(text);
    lock.lock();
    queued_ -= text.size();
    if (!sent) {
      gone_ = true;
      lines_.clear();
    }
    taken_.notify_all();
  }
}

std::string LineQueue::take_some() {
  std::string text;
  while (!lines_.empty() && (text.empty() || text.size() + lines_.front().size() <= kAtOnce)) {
    text += lines_.front();
    lines_.pop_front();
  }
  return text;
}

}  // namespace berth::api
