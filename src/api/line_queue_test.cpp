// SPDX-License-Identifier: Apache-2.0
#include "api/line_queue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <latch>

namespace berth::api {
namespace {

// A client that takes nothing until it is let go on.
class LineQueueTest : public testing::Test {
 protected:
  LineQueue::Send stopped_client() {
    return [this](std::string_view text) {
      go_on_.wait();
      std::lock_guard lock(mutex_);
      took_ += text;
      return true;
    };
  }
  void go_on() { go_on_.count_down(); }
  std::string took() {
    std::lock_guard lock(mutex_);
    return took_;
  }

 private:
  std::latch go_on_{1};
  std::mutex mutex_;
  std::string took_;
};

TEST_F(LineQueueTest, WhatIsPushedIsSentInItsOrder) {
  LineQueue queue(stopped_client());
  go_on();
  std::string all;
  for (int number = 0; number < 10'000; ++number) {
    const std::string line = std::to_string(number) + "\n";
    EXPECT_TRUE(queue.push(line, number % 2 == 0 ? Keep::always : Keep::if_room));
    all += line;
  }
  queue.finish();
  EXPECT_EQ(took(), all);
  queue.push("late", Keep::if_room);
  EXPECT_EQ(took(), all + "late");
}

TEST_F(LineQueueTest, AClientThatTakesNothingStopsNobodyAndLosesOnlyWhatMayBeLeftOut) {
  LineQueue queue(stopped_client());
  const auto began = std::chrono::steady_clock::now();
  std::size_t taken = 0, left_out = 0;
  for (int count = 0; count < 200; ++count)
    ++(queue.push(std::string(100'000, 'x'), Keep::if_room) ? taken : left_out);
  EXPECT_TRUE(queue.push("begin;", Keep::always));
  EXPECT_FALSE(queue.push("more", Keep::if_room)) << "it is still behind";
  EXPECT_TRUE(queue.push("end", Keep::always));
  EXPECT_LT(std::chrono::steady_clock::now() - began, 10 * LineQueue::kPatience)
      << "waited for once, not always";
  EXPECT_LE(taken * 100'000, LineQueue::kMost);
  EXPECT_GT(left_out, 100u);
  go_on();
  queue.finish();
  EXPECT_TRUE(took().ends_with("xbegin;end"));
}

TEST_F(LineQueueTest, AClientThatReadsAgainIsToldAgain) {
  LineQueue queue(stopped_client());
  while (queue.push(std::string(100'000, 'x'), Keep::if_room)) continue;
  go_on();
  while (!queue.push("again", Keep::if_room)) std::this_thread::yield();
  queue.finish();
  EXPECT_TRUE(took().ends_with("xagain"));
}

TEST_F(LineQueueTest, AClientThatReadsSlowlyIsWaitedFor) {
  std::size_t took = 0;
  LineQueue queue([&](std::string_view text) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    took += text.size();
    return true;
  });
  for (int count = 0; count < 200; ++count) EXPECT_TRUE(queue.push(std::string(100'000, 'x'), Keep::if_room));
  queue.finish();
  EXPECT_EQ(took, 20'000'000u);
}

TEST_F(LineQueueTest, OneThatHasGoneTakesNothing) {
  LineQueue queue([](std::string_view) { return false; });
  for (int count = 0; count < 200; ++count) EXPECT_TRUE(queue.push(std::string(100'000, 'x'), Keep::if_room));
  queue.finish();
  EXPECT_TRUE(queue.push("x", Keep::always));
}

}  // namespace
}  // namespace berth::api
