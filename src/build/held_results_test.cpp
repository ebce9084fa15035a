// SPDX-License-Identifier: Apache-2.0
#include "build/held_results.h"

#include <gtest/gtest.h>

namespace berth::build {
namespace {

std::string name_of(char digit) { return std::string(64, digit); }

struct HeldTest : testing::Test {
  HeldResults::Clock::time_point time{};
  HeldResults held{[this] { return time; }};

  static std::shared_ptr<const BuildResult> result() { return std::make_shared<BuildResult>(); }
};

TEST_F(HeldTest, AResultIsThereUntilItIsReleased) {
  const auto one = result();
  ASSERT_TRUE(held.hold(name_of('a'), one));
  EXPECT_EQ(*held.get(name_of('a')), one);
  held.release(name_of('a'));
  EXPECT_EQ(held.get(name_of('a')).error().kind, ErrorKind::not_found);
  held.release(name_of('a'));  // again is nothing
  EXPECT_EQ(one.use_count(), 1);
}

TEST_F(HeldTest, OneThatNobodyFetchesGoes) {
  const auto one = result(), two = result();
  ASSERT_TRUE(held.hold(name_of('a'), one));
  ASSERT_TRUE(held.hold(name_of('b'), two));
  time += HeldResults::kUnclaimed / 2;
  EXPECT_TRUE(held.get(name_of('b')));
  time += HeldResults::kUnclaimed / 2 + std::chrono::seconds(1);
  held.expire();
  EXPECT_EQ(one.use_count(), 1);
  EXPECT_TRUE(held.get(name_of('b'))) << "asking for it is a use";
}

TEST_F(HeldTest, TheOldestGoesWhenThereAreTooMany) {
  for (std::size_t number = 0; number <= HeldResults::kMost; ++number) {
    time += std::chrono::milliseconds(1);
    ASSERT_TRUE(held.hold(fmt::format("{:064x}", number), result()));
  }
  EXPECT_FALSE(held.get(fmt::format("{:064x}", 0)));
  EXPECT_TRUE(held.get(fmt::format("{:064x}", 1)));
}

TEST_F(HeldTest, ANameIsTakenOnceAndCannotBeGuessed) {
  ASSERT_TRUE(held.hold(name_of('a'), result()));
  EXPECT_EQ(held.hold(name_of('a'), result()).error().kind, ErrorKind::conflict);
  for (const std::string& name : {std::string(), std::string("a"), name_of('A'), name_of('a') + "a"})
    EXPECT_EQ(held.hold(name, result()).error().kind, ErrorKind::invalid) << name;
}

}  // namespace
}  // namespace berth::build
