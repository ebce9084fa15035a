// SPDX-License-Identifier: Apache-2.0
#include "cli/build/display.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace berth::cli {
namespace {

using namespace std::chrono_literals;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

class DisplayTest : public testing::Test {
 protected:
  BuildState::Vertex& add(std::string name, std::optional<Moment> completed = {}) {
    BuildState::Vertex& vertex = state.vertices.emplace_back();
    vertex.id = static_cast<std::int64_t>(state.vertices.size());
    vertex.name = std::move(name);
    vertex.completed = completed;
    return vertex;
  }
  std::vector<std::string> lines(std::size_t width, std::size_t height, Moment now = 2s) const {
    std::vector<std::string> texts;
    for (const DisplayLine& line : lay_out(state, {width, height}, now)) texts.push_back(line.text);
    return texts;
  }

  BuildState state;
};

TEST_F(DisplayTest, AVertexIsALineWithItsTimeAtTheRight) {
  add("[1/3] FROM box", 100ms);
  add("[2/3] COPY", 300ms).cached = true;
  add("[3/3] RUN make");
  state.total = 4;
  EXPECT_THAT(
      lines(40, 24),
      ElementsAre("[+] Building 2.0s (2/4)", " => [1/3] FROM box                  0.1s",
                  " => CACHED [2/3] COPY               0.3s", " => [3/3] RUN make                  2.0s"));
}

TEST_F(DisplayTest, WhatRunsShowsItsLastLinesAndItsTransfers) {
  BuildState::Vertex& vertex = add("RUN x");
  for (int count = 0; count < 15; ++count) vertex.tail.push_back({0s, fmt::format("line {}", count)});
  EXPECT_THAT(lines(80, 24), Contains(" => => # line 14"));
  EXPECT_THAT(lines(80, 24), Not(Contains(" => => # line 8")));
  BuildState::Vertex& pull = add("FROM y");
  pull.statuses.push_back({"abc", "Downloading", 1'500'000, 3'000'000});
  EXPECT_THAT(lines(80, 24), Contains(" => => abc Downloading 1.5MB / 3MB"));
  pull.statuses.front() = {"abc", "Pull complete", 0, 0};
  EXPECT_THAT(lines(80, 24), Not(Contains(HasSubstr("abc"))));
  pull.statuses.front() = {"transferring context:", "5MB", 0, 0};
  EXPECT_THAT(lines(80, 24), Contains(" => => transferring context: 5MB"));
}

TEST_F(DisplayTest, StagesSideBySideShareTheRoom) {
  for (const char* name : {"a", "b", "c"}) {
    BuildState::Vertex& vertex = add(name);
    for (int count = 0; count < 10; ++count) vertex.tail.push_back({0s, fmt::format("{}{}", name, count)});
  }
  const std::vector<std::string> shown = lines(80, 12);
  EXPECT_LE(shown.size(), 11u);
  for (const char* last : {"a9", "b9", "c9"}) EXPECT_THAT(shown, Contains(HasSubstr(last)));
}

TEST_F(DisplayTest, ItNeverIsHigherOrWiderThanTheTerminal) {
  for (int count = 0; count < 50; ++count) add("done \xe6\x97\xa5\xe6\x9c\xac " + std::to_string(count), 1s);
  for (int count = 0; count < 10; ++count) {
    BuildState::Vertex& vertex = add("runs " + std::string(300, 'x') + std::to_string(count));
    for (int line = 0; line < 20; ++line) vertex.tail.push_back({0s, std::string(500, 'y')});
    vertex.output.take("unfinished " + std::string(500, 'z'));
  }
  for (std::size_t width : {0u, 1u, 2u, 7u, 19u, 20u, 21u, 33u, 80u, 200u})
    for (std::size_t height : {0u, 1u, 2u, 3u, 4u, 11u, 24u, 61u, 200u}) {
      const std::vector<std::string> shown = lines(width, height);
      EXPECT_LE(shown.size(), std::max<std::size_t>(height, 2) - 1) << width << "x" << height;
      for (const std::string& line : shown) EXPECT_LE(columns_of(line), width) << line;
    }
}

TEST_F(DisplayTest, WhatIsLeftOutIsTheOldestThatIsDone) {
  for (int count = 0; count < 20; ++count) add(fmt::format("done {}.", count), 1s);
  add("runs");
  add("failed", 1s).error = "no";
  const std::vector<std::string> shown = lines(80, 7);
  EXPECT_THAT(shown, Contains(HasSubstr("runs")));
  EXPECT_THAT(shown, Contains(HasSubstr("ERROR failed")));
  EXPECT_THAT(shown, Contains(HasSubstr("done 19.")));
  EXPECT_THAT(shown, Not(Contains(HasSubstr("done 0."))));
}

TEST_F(DisplayTest, TheEndIsShownWholeAndWithoutDetails) {
  for (int count = 0; count < 30; ++count) add(std::to_string(count), 1s).tail.push_back({0s, "said"});
  state.finished = true;
  const std::vector<std::string> shown = lines(80, 10);
  EXPECT_EQ(shown.size(), 31u);
  EXPECT_EQ(shown.front(), "[+] Building 2.0s (30/30) FINISHED");
  EXPECT_THAT(shown, Not(Contains(HasSubstr("said"))));
  state.failed = true;
  EXPECT_THAT(lines(80, 10).front(), HasSubstr("FAILED"));
}

TEST(Redraw, ItStandsWhereTheLastOneStood) {
  const std::vector<DisplayLine> lines{{DisplayLine::Kind::header, "head"}, {DisplayLine::Kind::done, "b"}};
  const std::string first = redraw({}, lines, 80, false);
  EXPECT_THAT(first, Not(HasSubstr("A"))) << "nothing is above";
  EXPECT_THAT(redraw(lines, lines, 80, false), HasSubstr("\r\x1b[2A"));
  EXPECT_THAT(redraw(lines, lines, 2, false), HasSubstr("\x1b[3A")) << "the terminal has broken \"head\"";
}

TEST(Redraw, TheTerminalIsLeftAsItShouldBe) {
  const std::vector<DisplayLine> lines{{DisplayLine::Kind::failed, "x"}};
  for (const bool colour : {false, true}) {
    const std::string text = redraw({}, lines, 80, colour);
    EXPECT_LT(text.rfind("\x1b[?25l"), text.rfind("\x1b[?25h"));
    EXPECT_LT(text.rfind("\x1b[?7l"), text.rfind("\x1b[?7h"));
    EXPECT_EQ(text.find("\x1b[31m") != text.npos, colour);
    EXPECT_EQ(text.find("\x1b[0m") != text.npos, colour);
  }
}

}  // namespace
}  // namespace berth::cli
