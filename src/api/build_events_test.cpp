// SPDX-License-Identifier: Apache-2.0
#include "api/build_events.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/text.h"

namespace berth::api {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class EventProgressTest : public testing::Test {
 protected:
  EventProgressTest()
      : shown([this](const json::object& line, Keep keep) {
          if (keep == Keep::if_room && no_room) return false;
          lines.push_back(json::parse(valid_text(json::serialize(line))).as_object());
          return true;
        }) {}

  static build::Step step(std::size_t stage, std::size_t work, std::string text = "RUN x") {
    build::Step step;
    step.stage = stage;
    step.work = work;
    step.is_work = work > 0;
    step.works = 3;
    step.all_works = 5;
    step.text = std::move(text);
    return step;
  }
  // "vertex 1", "log 1 text" and their like, in their order.
  std::vector<std::string> told() const {
    std::vector<std::string> all;
    for (const json::object& line : lines) {
      const std::string kind(line.begin()->key());
      const json::object& event = line.begin()->value().as_object();
      std::string text = kind;
      for (std::string_view member : {"id", "vertex", "data", "text", "cached", "cancelled", "error"})
        if (event.contains(member)) {
          const json::value& value = event.at(member);
          text += " " + (value.is_string() ? std::string(value.as_string()) : json::serialize(value));
        }
      if (event.contains("completed")) text += " done";
      all.push_back(std::move(text));
    }
    return all;
  }

  bool no_room = false;
  std::vector<json::object> lines;
  EventProgress shown;
};

TEST_F(EventProgressTest, StagesAreToldAsTheyGoEachOutputWithItsVertex) {
  shown.planned({0, 2});
  shown.begun(step(0, 1));
  shown.begun(step(2, 1));
  shown.output(step(2, 1), build::OutputStream::standard, "two");
  shown.output(step(0, 1), build::OutputStream::error, "one");
  shown.done(step(2, 1), nullptr);
  shown.cached(step(0, 1));
  shown.done(step(0, 1), nullptr);
  EXPECT_THAT(told(), ElementsAre("vertex 1", "vertex 2", "log 2 two", "log 1 one", "vertex 2 done",
                                  "vertex 1 true done"));
  EXPECT_EQ(lines[3].at("log").as_object().at("stream").as_int64(), 2);
}

TEST_F(EventProgressTest, NamesSayWhichStepOfWhichStage) {
  shown.planned({0});
  shown.begun(step(0, 2));
  EXPECT_EQ(lines[0].at("vertex").at("name").as_string(), "[2/3] RUN x");
  shown.planned({0, 1});
  shown.begun(step(1, 2));
  EXPECT_EQ(lines[1].at("vertex").at("name").as_string(), "[stage-1 2/3] RUN x");
  EXPECT_EQ(lines[1].at("vertex").at("total").to_number<int>(), 6) << "the image is one more";
}

TEST_F(EventProgressTest, AStageIsNamedAsItIsWhateverThatLooksLike) {
  shown.planned({0});
  build::Step named = step(0, 2);
  named.stage_name = "stage-prod";
  shown.begun(named);
  EXPECT_EQ(lines[0].at("vertex").at("name").as_string(), "[stage-prod 2/3] RUN x");
}

TEST_F(EventProgressTest, WhatABaseImageTriggersHasNoNumberAndIsOneMore) {
  shown.planned({0});
  build::Step triggered = step(0, 0, "ONBUILD RUN x");
  triggered.is_work = true;
  shown.begun(triggered);
  shown.output(triggered, build::OutputStream::standard, "said");
  shown.done(triggered, nullptr);
  EXPECT_THAT(told(), ElementsAre("vertex 1", "log 1 said", "vertex 1 done"));
  EXPECT_EQ(lines[0].at("vertex").at("name").as_string(), "[stage-0] ONBUILD RUN x");
  EXPECT_EQ(lines[0].at("vertex").at("total").to_number<int>(), 7);
}

TEST_F(EventProgressTest, WhatBecomesOfTheResultHasAVertexWhileThatGoesOn) {
  shown.begun(step(0, 1));
  shown.done(step(0, 1), nullptr);
  shown.delivery_begun("exporting to image");
  shown.delivered("writing image x");
  shown.delivery_done(nullptr);
  EXPECT_EQ(lines[2].at("vertex").at("name").as_string(), "exporting to image");
  EXPECT_EQ(lines[2].at("vertex").at("total").to_number<int>(), 6);
  shown.delivery_begun("exporting the result");
  const Error error{ErrorKind::system, 0, "no room"};
  shown.delivery_done(&error);
  EXPECT_THAT(told(), ElementsAre("vertex 1", "vertex 1 done", "vertex 2", "status writing image x 2 ",
                                  "vertex 2 done", "vertex 3", "vertex 3 no room done"));
}

TEST_F(EventProgressTest, StepsWithoutFilesAreToldOfOnlyWhenTheyFail) {
  shown.planned({0});
  shown.begun(step(0, 0));
  shown.done(step(0, 0), nullptr);
  EXPECT_THAT(told(), IsEmpty());
  shown.begun(step(0, 0, "ENV a"));
  const Error error{ErrorKind::invalid, 0, "no"};
  shown.done(step(0, 0, "ENV a"), &error);
  EXPECT_THAT(told(), ElementsAre("vertex 1", "vertex 1 no done"));
  EXPECT_EQ(lines[0].at("vertex").at("name").as_string(), "[stage-0] ENV a");
}

TEST_F(EventProgressTest, WhatWasStoppedIsNoFailure) {
  shown.begun(step(0, 1));
  const Error error{ErrorKind::cancelled, 0, "stopped"};
  shown.done(step(0, 1), &error);
  EXPECT_THAT(told(), ElementsAre("vertex 1", "vertex 1 true done"));
  EXPECT_TRUE(lines[1].at("vertex").at("cancelled").as_bool());
}

TEST_F(EventProgressTest, OutputOfAnyBytesIsValidAndCharactersAreWhole) {
  shown.begun(step(0, 1));
  shown.output(step(0, 1), build::OutputStream::standard, "\xe2\x82");
  shown.output(step(0, 1), build::OutputStream::error, "\xff");
  shown.output(step(0, 1), build::OutputStream::standard, "\xac");
  shown.output(step(0, 1), build::OutputStream::standard, "\xf0");
  shown.done(step(0, 1), nullptr);
  EXPECT_THAT(told(), ElementsAre("vertex 1", "log 1 \xef\xbf\xbd", "log 1 \xe2\x82\xac",
                                  "log 1 \xef\xbf\xbd", "vertex 1 done"));
}

TEST_F(EventProgressTest, OutputThatThereIsNoRoomForIsLeftOutAndThatIsSaidWhereItWas) {
  const std::string note = "log 1 \n[more output is left out here: it came faster than it was read]\n";
  shown.begun(step(0, 1));
  shown.output(step(0, 1), build::OutputStream::standard, "a");
  no_room = true;
  shown.output(step(0, 1), build::OutputStream::standard, "b");
  shown.output(step(0, 1), build::OutputStream::standard, "c");
  shown.transfer(step(0, 1), {"abc", "Downloading", 5, 9});
  shown.transfer(step(0, 1), {"abc", "Pull complete", 0, 0});
  no_room = false;
  shown.output(step(0, 1), build::OutputStream::standard, "d");
  no_room = true;
  shown.output(step(0, 1), build::OutputStream::standard, "e");
  shown.done(step(0, 1), nullptr);
  EXPECT_THAT(told(), ElementsAre("vertex 1", "log 1 a", "status abc 1 Pull complete", note, "log 1 d", note,
                                  "vertex 1 done"));
}

TEST_F(EventProgressTest, TransfersSayHowFarTheyAre) {
  shown.begun(step(0, 1));
  shown.transfer(step(0, 1), {"abc", "Downloading", 5, 9});
  EXPECT_EQ(lines[1].at("status").at("current").to_number<int>(), 5);
  EXPECT_EQ(lines[1].at("status").at("total").to_number<int>(), 9);
  shown.transfer(step(1, 1), {"abc", "Downloading", 5, 9});
  EXPECT_EQ(lines.size(), 2u) << "of a step that nobody knows";
}

}  // namespace
}  // namespace berth::api
