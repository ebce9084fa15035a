// SPDX-License-Identifier: Apache-2.0
#include "build/in_flight.h"

#include <gtest/gtest.h>

#include <atomic>
#include <latch>
#include <thread>
#include <vector>

namespace berth::build {
namespace {

TEST(InFlight, EqualWorkIsDoneOnce) {
  InFlight<int> flights;
  std::atomic<int> runs = 0, waited = 0;
  std::latch begun(1);
  auto slow = [&]() -> Result<int> {
    begun.count_down();
    ++runs;
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    return 7;
  };
  std::vector<std::jthread> threads;
  threads.emplace_back([&] { EXPECT_EQ(*flights.once(sha256_of("a"), {}, slow), 7); });
  begun.wait();
  for (int count = 0; count < 4; ++count)
    threads.emplace_back([&] {
      bool second = false;
      EXPECT_EQ(*flights.once(sha256_of("a"), {}, slow, Failure::shared, &second), 7);
      waited += second;
    });
  threads.clear();
  EXPECT_EQ(runs, 1);
  EXPECT_EQ(waited, 4);
}

TEST(InFlight, WhoWaitsForACancelledOneDoesItHimself) {
  InFlight<int> flights;
  std::latch begun(1);
  std::jthread first([&] {
    const Result<int> result = flights.once(sha256_of("a"), {}, [&]() -> Result<int> {
      begun.count_down();
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
      return fail(ErrorKind::cancelled, "given up");
    });
    EXPECT_FALSE(result);
  });
  begun.wait();
  EXPECT_EQ(*flights.once(sha256_of("a"), {}, []() -> Result<int> { return 2; }), 2);
}

TEST(InFlight, AFailureIsEverybodys) {
  InFlight<int> flights;
  std::latch begun(1);
  std::jthread first([&] {
    (void)flights.once(sha256_of("a"), {}, [&]() -> Result<int> {
      begun.count_down();
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
      return fail(ErrorKind::conflict, "exit code 1");
    });
  });
  begun.wait();
  bool ran = false;
  const Result<int> second = flights.once(sha256_of("a"), {}, [&]() -> Result<int> {
    ran = true;
    return 1;
  });
  EXPECT_FALSE(second);
  EXPECT_FALSE(ran);
}

TEST(InFlight, AFailureOfWhoDidItIsHisOwn) {
  InFlight<int> flights;
  std::latch begun(1);
  std::jthread first([&] {
    const auto work = [&]() -> Result<int> {
      begun.count_down();
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
      return fail(ErrorKind::denied, "not for him");
    };
    EXPECT_FALSE(flights.once(sha256_of("a"), {}, work, Failure::own));
  });
  begun.wait();
  EXPECT_EQ(*flights.once(sha256_of("a"), {}, []() -> Result<int> { return 2; }), 2);
}

TEST(InFlight, AStopEndsTheWait) {
  InFlight<int> flights;
  std::latch begun(1), over(1);
  std::jthread first([&] {
    (void)flights.once(sha256_of("a"), {}, [&]() -> Result<int> {
      begun.count_down();
      over.wait();
      return 1;
    });
  });
  begun.wait();
  std::stop_source stop;
  std::jthread stopper([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    stop.request_stop();
  });
  const Result<int> result =
      flights.once(sha256_of("a"), stop.get_token(), []() -> Result<int> { return 2; });
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().kind, ErrorKind::cancelled);
  over.count_down();
}

}  // namespace
}  // namespace berth::build
