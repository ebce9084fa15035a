// SPDX-License-Identifier: Apache-2.0
#include "cli/build/plain.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/json.h"
#include "cli/build/raw_json.h"

namespace berth::cli {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

constexpr Timestamp kEngine{1'700'000'000'000'000'000};  // another clock than this machine's

Timestamp at(std::chrono::nanoseconds moment) { return {kEngine.nanoseconds + moment.count()}; }

VertexEvent vertex(std::int64_t id, std::string name, Moment started) {
  VertexEvent event;
  event.id = id;
  event.name = std::move(name);
  event.started = at(started);
  return event;
}
VertexEvent completed(VertexEvent event, Moment when) {
  event.completed = at(when);
  return event;
}
LogEvent log(std::int64_t id, std::string data, Moment when) {
  LogEvent event;
  event.vertex = id;
  event.data = std::move(data);
  event.time = at(when);
  return event;
}

class PlainProgressTest : public testing::Test {
 protected:
  std::string said;
  PlainProgress plain{[this](std::string_view text) { said += text; }};
};

TEST_F(PlainProgressTest, AVertexIsItsNameItsLinesAndItsEnd) {
  const VertexEvent one = vertex(1, "[2/2] RUN make", 0s);
  plain.show(one, 0s);
  plain.show(log(1, "out\nmo", 123ms), 123ms);
  plain.show(log(1, "re\n", 12s), 12s);
  plain.show(completed(one, 12'340ms), 12'340ms);
  EXPECT_EQ(said, "#1 [2/2] RUN make\n#1 0.123 out\n#1 12.00 more\n#1 DONE 12.3s\n\n");
}

TEST_F(PlainProgressTest, HowItEndedIsSaid) {
  VertexEvent one = completed(vertex(1, "a", 0s), 0s);
  one.cached = true;
  plain.show(one, 0s);
  VertexEvent two = completed(vertex(2, "b", 0s), 1s);
  two.error = "exit 3\nDockerfile";
  plain.show(two, 1s);
  VertexEvent three = completed(vertex(3, "c", 0s), 1s);
  three.cancelled = true;
  plain.show(three, 1s);
  EXPECT_EQ(said, "#1 a\n#1 CACHED\n\n#2 b\n#2 ERROR: exit 3 ...\n\n#3 c\n#3 CANCELED\n\n");
}

TEST_F(PlainProgressTest, OneIsToldOfAtATime) {
  const VertexEvent one = vertex(1, "a", 0s), two = vertex(2, "b", 0s);
  plain.show(one, 0s);
  plain.show(two, 0s);
  plain.show(log(2, "of b\n", 1s), 1s);
  plain.show(log(1, "of a\n", 1s), 1s);
  EXPECT_EQ(said, "#1 a\n#1 1.000 of a\n");
  plain.show(completed(one, 1s), 1s);
  EXPECT_THAT(said, HasSubstr("#1 DONE 1.0s\n\n#2 b\n#2 1.000 of b\n"));
}

TEST_F(PlainProgressTest, TheOthersDoNotWaitForEver) {
  plain.show(vertex(1, "a", 0s), 0s);
  plain.show(vertex(2, "b", 0s), 0s);
  plain.show(log(2, "first\n", 1s), 1s);
  plain.show(log(2, "second\n", 3s), 3s);
  EXPECT_EQ(said, "#1 a\n#1 ...\n\n#2 b\n#2 1.000 first\n#2 3.000 second\n");
  plain.show(log(1, "of a\n", 6s), 6s);
  EXPECT_THAT(said, HasSubstr("#2 ...\n\n#1 a\n#1 6.000 of a\n"));
}

TEST_F(PlainProgressTest, AFailureShowsWhatWasSaidLast) {
  VertexEvent one = vertex(1, "RUN x", 0s);
  plain.show(one, 0s);
  for (int count = 0; count < 100; ++count) plain.show(log(1, fmt::format("line {}\n", count), 1s), 1s);
  plain.show(log(1, "no newline", 1s), 1s);
  one = completed(one, 2s);
  one.error = "exit 3";
  plain.show(one, 2s);
  said.clear();
  plain.finish(true, 2s);
  EXPECT_THAT(said, testing::StartsWith("------\n > RUN x:\n1.000 line 81\n"));
  EXPECT_THAT(said, testing::EndsWith("1.000 line 99\n2.000 no newline\n------\n"));
}

TEST_F(PlainProgressTest, AFailureThatHasSaidNothingIsNotShownAgain) {
  VertexEvent one = completed(vertex(1, "COPY x /", 0s), 1s);
  one.error = "there is no x";
  plain.show(one, 1s);
  said.clear();
  plain.finish(true, 2s);
  EXPECT_EQ(said, "");
}

TEST_F(PlainProgressTest, WhatWaitsIsToldAtTheEnd) {
  plain.show(vertex(1, "a", 0s), 0s);
  plain.show(vertex(2, "b", 0s), 0s);
  plain.show(log(2, "held\n", 0s), 0s);
  plain.finish(true, 1s);
  EXPECT_THAT(said, HasSubstr("#2 b\n#2 0.000 held\n"));
}

TEST_F(PlainProgressTest, TransfersAreToldWithoutBars) {
  plain.show(vertex(1, "FROM x", 0s), 0s);
  plain.show(StatusEvent{1, "layer", "Downloading", 5, 9, at(0s)}, 0s);
  plain.show(StatusEvent{1, "layer", "Pull complete", 0, 0, at(0s)}, 0s);
  EXPECT_EQ(said, "#1 FROM x\n#1 layer: Pull complete\n");
}

TEST_F(PlainProgressTest, WarningsComeLast) {
  plain.show(WarningEvent{"[Warning] careful\n", {{.text = "careful"}}}, 0s);
  plain.show(completed(vertex(1, "a", 0s), 1s), 1s);
  EXPECT_EQ(said, "#1 a\n#1 DONE 1.0s\n\n");
  plain.finish(false, 2s);
  EXPECT_THAT(said, testing::EndsWith("\n[Warning] careful\n"));
}

TEST_F(PlainProgressTest, NamesAndOutputAreHarmless) {
  plain.show(vertex(1, "RUN \x1b[2Jx\nsecond line", 0s), 0s);
  plain.show(log(1, "\x1b]0;t\ay\r\n", 0s), 0s);
  EXPECT_EQ(said, "#1 RUN x ...\n#1 0.000 y\n");
}

TEST(BuildState, KeepsOfAVertexThatIsDoneOnlyWhatIsShown) {
  BuildState state;
  for (const std::int64_t id : {1, 2}) {
    apply(state, vertex(id, "a", 0s), 0s);
    apply(state, log(id, "line\nunfinished", 0s), 0s);
    apply(state, StatusEvent{id, "layer", "Downloading", 5, 9, at(0s)}, 0s);
    VertexEvent end = completed(vertex(id, "a", 0s), 1s);
    if (id == 2) end.error = "exit 3";
    EXPECT_EQ(apply(state, end, 1s).size(), 1u);
    EXPECT_TRUE(state.find(id)->statuses.empty());
    EXPECT_EQ(state.find(id)->output.unfinished(), "");
  }
  EXPECT_TRUE(state.find(1)->tail.empty());
  EXPECT_EQ(state.find(2)->tail.size(), 2u);
}

TEST(RawJsonProgress, EventsAreThoseOfBuildKit) {
  std::vector<json::object> lines;
  RawJsonProgress raw([&](std::string_view text) {
    EXPECT_TRUE(text.ends_with("}\n"));
    lines.push_back(json::parse(std::string(text)).as_object());
  });
  raw.show(vertex(1, "a", 0s), 0s);
  raw.show(log(1, "x\n", 1s), 0s);
  raw.show(StatusEvent{1, "layer", "Downloading", 5, 9, at(1s)}, 0s);
  raw.show(vertex(2, "a", 0s), 0s);
  VertexEvent stopped = completed(vertex(1, "a", 0s), 1s);
  stopped.cancelled = true;
  raw.show(stopped, 0s);
  raw.show(WarningEvent{"shown", {{"Rule: why", "Dockerfile", 3, 4}, {.text = "odd"}}}, 0s);
  const json::object first = lines[0].at("vertexes").at(0).as_object();
  EXPECT_EQ(first.at("started").as_string(), "2023-11-14T22:13:20Z");
  EXPECT_FALSE(first.contains("completed"));
  const json::object said = lines[1].at("logs").at(0).as_object();
  EXPECT_EQ(said.at("vertex"), first.at("digest"));
  EXPECT_EQ(said.at("data").as_string(), "eAo=");
  EXPECT_EQ(lines[2].at("statuses").at(0).at("total").to_number<int>(), 9);
  EXPECT_NE(lines[3].at("vertexes").at(0).at("digest"), first.at("digest")) << "of the same name";
  EXPECT_EQ(lines[4].at("vertexes").at(0).at("error").as_string(), "context canceled");
  const json::array warnings = lines[5].at("warnings").as_array();
  ASSERT_EQ(warnings.size(), 2u);
  EXPECT_EQ(warnings[0].at("short").as_string(), "UnVsZTogd2h5");
  EXPECT_EQ(warnings[0].at("sourceInfo").at("filename").as_string(), "Dockerfile");
  EXPECT_EQ(warnings[0].at("range").at(0).at("start").at("line").to_number<int>(), 3);
  EXPECT_EQ(warnings[0].at("range").at(0).at("end").at("line").to_number<int>(), 4);
  EXPECT_EQ(json::serialize(warnings[1]), R"({"level":1,"short":"b2Rk"})");
}

}  // namespace
}  // namespace berth::cli
