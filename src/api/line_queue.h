// SPDX-License-Identifier: Apache-2.0
// Lines on their way to a client, sent by a thread of their own. Who makes them must not depend on who reads
// them: a step whose result several builds wait for is told of to the client that came first, and that one
// may have been stopped.
#pragma once
#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

namespace berth::api {

// What of a line there is no room for: `always` are those that there are few of.
enum class Keep { always, if_room };

class LineQueue {
 public:
  static constexpr std::size_t kMost = 4u << 20;               // bytes, beside what is kept always
  static constexpr std::chrono::milliseconds kPatience{1000};  // with a client, to take half of that

  // false: there is nobody any more.
  using Send = std::function<bool(std::string_view text)>;
  explicit LineQueue(Send send);
  LineQueue(const LineQueue&) = delete;
  LineQueue& operator=(const LineQueue&) = delete;
  ~LineQueue();  // what was not sent is not

  // Whether it was taken. A client that reads is waited for, kPatience at most: behind one that does not,
  // what may be left out is, until half of the room is free again.
  bool push(std::string line, Keep keep);

  // All was sent, or there is nobody to send it to. What comes later is sent at once, by who pushes it.
  void finish();

 private:
  void send_until_stopped();
  std::string take_some();
  bool has_room_for(std::size_t size) const { return queued_ + size <= kMost; }
  bool half_is_free() const { return gone_ || queued_ <= kMost / 2; }

  const Send send_;
  std::mutex mutex_;
  std::condition_variable filled_, taken_;
  std::deque<std::string> lines_;
  std::size_t queued_ = 0;  // bytes, those included that are being sent
  bool full_ = false, gone_ = false, stopped_ = false;
  std::thread thread_;
};

}  // namespace berth::api
