// SPDX-License-Identifier: Apache-2.0
#include "keeper/restart.h"

#include <gtest/gtest.h>

namespace berth::keeper {
namespace {

using namespace std::chrono_literals;

TEST(Restart, WhetherItHappensFollowsFromConditionExitAndCount) {
  struct Case {
    RestartCondition condition;
    int maximum, count, exit_code;
    bool restarts;
  };
  for (const Case& c :
       {Case{RestartCondition::no, 0, 0, 1, false}, Case{RestartCondition::always, 0, 0, 0, true},
        Case{RestartCondition::always, 0, 1000, 137, true},
        Case{RestartCondition::unless_stopped, 0, 0, 0, true},
        Case{RestartCondition::on_failure, 0, 0, 0, false},
        Case{RestartCondition::on_failure, 0, 1000, 1, true},
        Case{RestartCondition::on_failure, 3, 2, 1, true},
        Case{RestartCondition::on_failure, 3, 3, 1, false}}) {
    RestartTracker tracker({c.condition, c.maximum}, c.count);
    EXPECT_EQ(tracker.next(c.exit_code, 0s).has_value(), c.restarts)
        << to_text(c.condition) << " " << c.maximum << " " << c.count << " " << c.exit_code;
    EXPECT_EQ(tracker.count(), c.count + (c.restarts ? 1 : 0));
  }
}

TEST(Restart, TheDelayDoublesFromATenthOfASecondToAMinute) {
  RestartTracker tracker({RestartCondition::always, 0}, 0);
  for (auto expected :
       {100ms, 200ms, 400ms, 800ms, 1600ms, 3200ms, 6400ms, 12800ms, 25600ms, 51200ms, 60000ms, 60000ms})
    EXPECT_EQ(tracker.next(1, 1s), expected);
}

TEST(Restart, ARunOfTenSecondsStartsTheDelayOver) {
  RestartTracker tracker({RestartCondition::always, 0}, 0);
  EXPECT_EQ(tracker.next(1, 1s), 100ms);
  EXPECT_EQ(tracker.next(1, 1s), 200ms);
  EXPECT_EQ(tracker.next(1, 9999ms), 400ms);
  EXPECT_EQ(tracker.next(1, 10s), 100ms);
  EXPECT_EQ(tracker.next(1, 1s), 200ms);
}

TEST(Restart, APolicyThatChangesHoldsFromTheNextExit) {
  RestartTracker tracker({RestartCondition::on_failure, 2}, 0);
  EXPECT_TRUE(tracker.next(1, 0s));
  EXPECT_TRUE(tracker.next(1, 0s));
  EXPECT_FALSE(tracker.next(1, 0s));
  tracker.set_policy({RestartCondition::always, 0});
  EXPECT_TRUE(tracker.next(0, 0s));
  tracker.set_policy({RestartCondition::no, 0});
  EXPECT_FALSE(tracker.next(1, 0s));
}

TEST(Restart, ConditionsHaveDockersNames) {
  for (const char* name : {"no", "always", "unless-stopped", "on-failure"})
    EXPECT_EQ(to_text(parse_restart_condition(name).value()), name);
  EXPECT_EQ(parse_restart_condition("").value(), RestartCondition::no);
  for (const char* name : {"Always", "on-failure:3", "never", " no"})
    EXPECT_FALSE(parse_restart_condition(name)) << name;
}

}  // namespace
}  // namespace berth::keeper
