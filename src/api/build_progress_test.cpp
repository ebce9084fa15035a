// SPDX-License-Identifier: Apache-2.0
#include "api/build_progress.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/json.h"

namespace berth::api {
namespace {

class ClassicProgressTest : public testing::Test {
 protected:
  ClassicProgress progress(bool quiet = false) {
    return ClassicProgress(
        [this](const json::object& line, Keep keep) {
          if (keep == Keep::if_room && no_room) return false;
          told += std::string(line.at("stream").as_string());
          return true;
        },
        quiet);
  }
  static build::Step step(std::size_t stage) {
    build::Step step;
    step.stage = stage;
    return step;
  }
  static void says(ClassicProgress& progress, std::size_t stage, std::string_view text) {
    progress.output(step(stage), build::OutputStream::standard, text);
  }

  bool no_room = false;
  std::string told;
};

TEST_F(ClassicProgressTest, TheFirstStageIsToldAtOnceAndTheOthersInTheirOrder) {
  ClassicProgress shown = progress();
  shown.planned({1, 3, 5});
  says(shown, 5, "c");
  says(shown, 3, "b");
  says(shown, 1, "a");
  EXPECT_EQ(told, "a");
  shown.ended(3);
  says(shown, 1, "A");
  EXPECT_EQ(told, "aA");
  shown.ended(1);
  EXPECT_EQ(told, "aAbc");
  says(shown, 5, "C");
  EXPECT_EQ(told, "aAbcC") << "it is the first that is not done now";
}

TEST_F(ClassicProgressTest, WhatWaitsIsBoundedAndSaysSo) {
  ClassicProgress shown = progress();
  shown.planned({0, 1});
  for (int count = 0; count < 100; ++count) says(shown, 1, std::string(100'000, 'x'));
  shown.ended(0);
  EXPECT_LT(told.size(), ClassicProgress::kMostHeld + 200);
  EXPECT_THAT(told, testing::HasSubstr("left out"));
  says(shown, 1, "end");
  EXPECT_TRUE(told.ends_with("end"));
}

TEST_F(ClassicProgressTest, OutputThatThereIsNoRoomForIsLeftOutAndSaysSo) {
  ClassicProgress shown = progress();
  shown.planned({0});
  says(shown, 0, "a");
  no_room = true;
  says(shown, 0, "b");
  says(shown, 0, "c");
  shown.say("d");
  no_room = false;
  says(shown, 0, "e");
  EXPECT_EQ(told, "a\n[more output is left out here: it came faster than it was read]\nde");
}

TEST_F(ClassicProgressTest, AFailedBuildTellsWhatWasHeldBack) {
  ClassicProgress shown = progress();
  shown.planned({0, 1});
  says(shown, 1, "why");
  shown.flush();
  EXPECT_EQ(told, "why");
}

TEST_F(ClassicProgressTest, AQuietOneTellsNothingOfSteps) {
  ClassicProgress shown = progress(true);
  shown.planned({0});
  shown.begun(step(0));
  says(shown, 0, "x");
  EXPECT_EQ(told, "");
  shown.say("id");
  EXPECT_EQ(told, "id");
}

}  // namespace
}  // namespace berth::api
