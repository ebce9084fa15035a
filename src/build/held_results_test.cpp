// SPDX-License-Identifier: Apache-2.0
#include "build/held_results.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

namespace berth::build {
namespace {

std::string name_of(char digit) { return std::string(64, digit); }

struct HeldTest : testing::Test {
  std::atomic<HeldResults::Clock::time_point> time{HeldResults::Clock::time_point()};
  HeldResults held{[this] { return time.load(); }};

  void pass(HeldResults::Clock::duration duration) { time = time.load() + duration; }
  static std::shared_ptr<const BuildResult> result() { return std::make_shared<BuildResult>(); }
  Result<void> hold(const std::string& name, std::shared_ptr<const BuildResult> result) {
    const std::shared_ptr<HeldPlace> place = TRY(held.reserve(name));
    place->put(std::move(result));
    return {};
  }
};

TEST_F(HeldTest, AResultIsThereUntilItIsReleased) {
  const auto one = result();
  ASSERT_TRUE(hold(name_of('a'), one));
  EXPECT_EQ(held.get(name_of('a'))->get(), one.get());
  held.release(name_of('a'));
  EXPECT_EQ(held.get(name_of('a')).error().kind, ErrorKind::not_found);
  held.release(name_of('a'));  // again is nothing
  EXPECT_EQ(one.use_count(), 1);
}

TEST_F(HeldTest, OneThatNobodyFetchesGoes) {
  std::weak_ptr<const BuildResult> one;
  {
    const auto made = result();
    one = made;
    ASSERT_TRUE(hold(name_of('a'), made));
  }
  ASSERT_TRUE(hold(name_of('b'), result()));
  pass(HeldResults::kUnclaimed / 2);
  EXPECT_TRUE(held.get(name_of('b')));
  pass(HeldResults::kUnclaimed / 2 + std::chrono::seconds(1));
  held.expire();
  EXPECT_TRUE(one.expired());
  EXPECT_TRUE(held.get(name_of('b'))) << "asking for it is a use";
}

TEST_F(HeldTest, OneThatIsFetchedStaysHoweverLongItTakes) {
  ASSERT_TRUE(hold(name_of('a'), result()));
  auto fetch = *held.get(name_of('a'));
  pass(HeldResults::kUnclaimed * 3);
  held.expire();
  EXPECT_TRUE(held.get(name_of('a')));
  fetch = *held.get(name_of('a'));
  pass(HeldResults::kUnclaimed * 3);
  fetch.reset();
  pass(HeldResults::kUnclaimed / 2);
  held.expire();
  EXPECT_TRUE(held.get(name_of('a'))) << "the end of a fetch is a use";
  pass(HeldResults::kUnclaimed * 2);
  EXPECT_FALSE(held.get(name_of('a')));
}

TEST_F(HeldTest, WhatNobodyFetchesGoesByItself) {
  HeldResults looking([this] { return time.load(); }, std::chrono::milliseconds(1));
  std::weak_ptr<const BuildResult> one;
  {
    const auto made = result();
    one = made;
    const std::shared_ptr<HeldPlace> place = *looking.reserve(name_of('a'));
    place->put(made);
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_FALSE(one.expired());
  pass(HeldResults::kUnclaimed * 2);
  for (int tries = 0; tries < 1000 && !one.expired(); ++tries)
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  EXPECT_TRUE(one.expired());
}

TEST_F(HeldTest, WhereThereAreTooManyTheNewOneIsRefused) {
  for (std::size_t number = 0; number < HeldResults::kMost; ++number)
    ASSERT_TRUE(hold(fmt::format("{:064x}", number), result()));
  EXPECT_EQ(held.reserve(name_of('a')).error().kind, ErrorKind::unavailable);
  EXPECT_TRUE(held.get(fmt::format("{:064x}", 0))) << "nobody else's goes for it";
  held.release(fmt::format("{:064x}", 1));
  EXPECT_TRUE(held.reserve(name_of('a')));
}

TEST_F(HeldTest, ANameIsTakenOnceAndCannotBeGuessed) {
  const std::shared_ptr<HeldPlace> place = *held.reserve(name_of('a'));
  EXPECT_EQ(held.reserve(name_of('a')).error().kind, ErrorKind::conflict) << "while the build goes on";
  EXPECT_EQ(held.get(name_of('a')).error().kind, ErrorKind::not_found);
  place->put(result());
  EXPECT_EQ(held.reserve(name_of('a')).error().kind, ErrorKind::conflict);
  for (const std::string& name : {std::string(), std::string("a"), name_of('A'), name_of('a') + "a"})
    EXPECT_EQ(held.reserve(name).error().kind, ErrorKind::invalid) << name;
}

TEST_F(HeldTest, ABuildThatFailsGivesItsNameBack) {
  { const std::shared_ptr<HeldPlace> place = *held.reserve(name_of('a')); }
  EXPECT_TRUE(hold(name_of('a'), result()));
}

TEST_F(HeldTest, AReservationThatWasReleasedIsNobodyElses) {
  std::shared_ptr<HeldPlace> older = *held.reserve(name_of('a'));
  held.release(name_of('a'));
  const std::shared_ptr<HeldPlace> newer = *held.reserve(name_of('a'));
  older->put(result());
  EXPECT_FALSE(held.get(name_of('a')));
  older.reset();
  EXPECT_EQ(held.reserve(name_of('a')).error().kind, ErrorKind::conflict);
}

}  // namespace
}  // namespace berth::build
