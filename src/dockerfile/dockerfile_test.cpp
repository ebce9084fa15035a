// SPDX-License-Identifier: Apache-2.0
// What the corpus cannot hold: bounds, bytes that editors lose, single instructions. testdata/ has the
// grammar.
#include "dockerfile/dockerfile.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>

namespace berth::dockerfile {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using testing::SizeIs;
using testing::StartsWith;

std::string error_of(std::string_view text) {
  Result<Dockerfile> file = parse_dockerfile(text, "Dockerfile");
  if (file) return "no error";
  EXPECT_EQ(file.error().kind, ErrorKind::invalid);
  return file.error().message;
}

Dockerfile parsed(std::string_view text) {
  Result<Dockerfile> file = parse_dockerfile(text, "Dockerfile");
  EXPECT_TRUE(file) << file.error().message;
  return file ? *std::move(file) : Dockerfile{};
}

template <class T>
T content_of(std::string_view text) {
  Result<Instruction> instruction = parse_instruction(text, "text");
  EXPECT_TRUE(instruction) << instruction.error().message;
  const T* content = instruction ? std::get_if<T>(&instruction->content) : nullptr;
  EXPECT_TRUE(content) << text;
  return content ? *content : T{};
}

TEST(ParseDockerfile, NamesAnEmptyFile) {
  EXPECT_EQ(error_of(""), "the Dockerfile (Dockerfile) is empty");
  EXPECT_EQ(error_of("\n \n# nothing\n"), "the Dockerfile (Dockerfile) is empty");
  EXPECT_EQ(error_of("\\\n\\\n"), "the Dockerfile (Dockerfile) is empty");
}

TEST(ParseDockerfile, RefusesWhatIsNoText) {
  EXPECT_THAT(error_of(std::string_view("FROM a\nRUN x\0y\n", 15)),
              StartsWith("Dockerfile:2:6: a zero byte"));
  EXPECT_THAT(error_of("FROM a\nRUN \xff\n"), StartsWith("Dockerfile:2:1: the instruction is not in UTF-8"));
  EXPECT_THAT(error_of("FROM a\nRUN <<E\n\xff\nE\n"), HasSubstr("not in UTF-8"));
  EXPECT_THAT(error_of("FROM a\nONBUILD COPY <<E /\n\xff\nE\n"), HasSubstr("not in UTF-8"));
  // A comment's encoding is nobody's business, and a file may hold any bytes.
  EXPECT_THAT(parsed("FROM a\n# caf\xe9\nCOPY <<E /\n\xff\nE\n").stages[0].instructions, SizeIs(1));
}

TEST(ParseDockerfile, IsBounded) {
  std::string many = "FROM a\n";
  for (std::size_t i = 1; i < kMostInstructions; ++i) many += "USER a\n";
  EXPECT_THAT(parsed(many).stages[0].instructions, SizeIs(kMostInstructions - 1));
  EXPECT_THAT(error_of(many + "USER a\n"), StartsWith("Dockerfile:10001:1: a Dockerfile can have 10000"));
  std::string line = "FROM a\nRUN ";
  for (std::size_t i = 0; i <= kMostHeredocs; ++i) line += " <<E";
  EXPECT_THAT(error_of(line), HasSubstr("100 heredocs at most"));
  EXPECT_THAT(error_of(std::string(kLongestDockerfile + 1, '#')), HasSubstr("is longer than"));
}

// Each of these was chosen to make a careless reader quadratic.
TEST(ParseDockerfile, TakesTimeInProportionToTheText) {
  auto begin = std::chrono::steady_clock::now();
  auto repeated = [](std::string_view part) {
    std::string text = "FROM a\nRUN x";
    while (text.size() < kLongestDockerfile / 4) text += part;
    return text;
  };
  for (std::string_view part :
       {" \\\n", " \\\n\n", "\\\n# c\n", " --a=b", "'", "\"\\", " a<<b ", " 1<<2", "[[", "["})
    (void)parse_dockerfile(repeated(part), "Dockerfile");
  for (std::string_view start :
       {"RUN [", "COPY ", "ENV a=", "ENV a ", "RUN --mount=", "LABEL ", "ARG ", "xx", "RUN <<E\n"})
    for (std::string_view part : {"a ", "a=b ", "\"", ",", "[", "<<E ", "E \n", "\\"}) {
      std::string text = "FROM a\n" + std::string(start);
      while (text.size() < kLongestDockerfile / 4) text += part;
      (void)parse_dockerfile(text, "Dockerfile");
    }
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(10));
}

TEST(ParseDockerfile, TakesAByteOrderMarkAndCarriageReturns) {
  Dockerfile file = parsed("\xef\xbb\xbf# escape=`\r\nFROM a `\r\n  AS b\r\nRUN <<E\r\nx\r\nE\r\nUSER c\r\n");
  EXPECT_EQ(file.directives.escape, '`');
  ASSERT_THAT(file.stages, SizeIs(1));
  EXPECT_EQ(file.stages[0].name, "b");
  EXPECT_EQ(file.stages[0].original, "FROM a   AS b");
  ASSERT_THAT(file.stages[0].instructions, SizeIs(2));
  EXPECT_EQ(shell_text(std::get<RunInstruction>(file.stages[0].instructions[0].content).command), "x\r\n");
  EXPECT_THAT(file.lines, ElementsAre("# escape=`", "FROM a `", "  AS b", "RUN <<E", "x", "E", "USER c"));
}

TEST(ParseDockerfile, ShowsNoControlCharacters) {
  std::string message = error_of("FROM a\n\x1b[31mRUNN\xc2\x9b \x07 \xff" + std::string(300, 'x'));
  EXPECT_THAT(message, Not(HasSubstr("\x1b")));
  EXPECT_THAT(message, Not(HasSubstr("\xc2\x9b")));
  EXPECT_THAT(message, Not(HasSubstr("\x07")));
  EXPECT_LT(message.size(), 500u);
  message = located(parsed("FROM a"), {1, 1}, 1, {ErrorKind::invalid, 0, "\x1b[0m" + std::string(5000, 'x')})
                .message;
  EXPECT_THAT(message, StartsWith("Dockerfile:1:1: ?[0mxxx"));
  EXPECT_LT(message.size(), 1200u);
  message = parse_dockerfile("FROM a b", "evil\n\x1b[0m").error().message;
  EXPECT_THAT(message, StartsWith("evil??[0m:1:1: FROM requires"));
}

TEST(ParseDockerfile, ShowsThePlaceInALongLine) {
  std::string text = "FROM a\nENV " + std::string(500, 'a') + "=b =c " + std::string(500, 'd') + "=e";
  std::string message = error_of(text);
  EXPECT_THAT(message, StartsWith("Dockerfile:2:508: ENV names can not be blank\n"));
  std::size_t mark = message.find('^');
  std::size_t row = message.rfind('\n', message.rfind('\n', mark) - 1) + 1;
  std::size_t column = mark - message.rfind('\n', mark) - 1;
  EXPECT_EQ(message.substr(row + column, 2), "=c");
}

TEST(ParseInstruction, IsOneAndNotFrom) {
  EXPECT_EQ(content_of<UserInstruction>("user  bob ").user.text, "bob");
  EXPECT_THAT(parse_instruction("FROM a", "it").error().message,
              StartsWith("it:1:1: FROM begins a build stage"));
  EXPECT_EQ(parse_instruction(" ", "it").error().message, "it: there is no instruction");
  EXPECT_THAT(parse_instruction("USER a\nUSER b", "it").error().message, StartsWith("it:2:1: only one"));
  // Directives are a file's: here they are comments.
  EXPECT_EQ(content_of<RunInstruction>("# escape=`\nRUN a \\\n b").command.words[0], "a  b");
}

TEST(ParseInstruction, OfAnOnBuildReadsBackWhatWasWritten) {
  std::string text = "COPY <<-'A B' <<C /d/\n\t\tone\n\tA B\n$two\nC";
  auto trigger = content_of<OnBuildInstruction>("ONBUILD " + text);
  auto direct = content_of<CopyInstruction>(text);
  auto again = content_of<CopyInstruction>(trigger.instruction);
  ASSERT_THAT(again.heredocs, SizeIs(2));
  EXPECT_EQ(again.heredocs[0].name, "A B");
  EXPECT_EQ(again.heredocs[0].content, "one\n");
  EXPECT_FALSE(again.heredocs[0].expand);
  EXPECT_EQ(again.heredocs[1].content, "$two\n");
  EXPECT_TRUE(again.heredocs[1].expand);
  EXPECT_EQ(direct.heredocs[0].content, again.heredocs[0].content);
  EXPECT_EQ(again.destination.text, "/d/");
}

TEST(ShellText, IsWhatAShellReads) {
  auto text = [](std::string_view instruction) {
    return shell_text(content_of<RunInstruction>(instruction).command);
  };
  EXPECT_EQ(text("RUN a && b"), "a && b");
  EXPECT_EQ(text("RUN [\"a\"]"), "");
  EXPECT_EQ(text("RUN <<EOF\na\nEOF"), "a\n");
  EXPECT_EQ(text("RUN <<-EOF\n\ta\n\tEOF"), "a\n");
  EXPECT_EQ(text("RUN python3 - <<'E' && cat <<F|sort\nprint(1)\nE\nx\nF"),
            "python3 - <<'E' && cat <<F|sort\nprint(1)\nE\nx\nF");
}

TEST(FindStage, LooksBeforeAndInAnyCase) {
  Dockerfile file = parsed("FROM a AS One\nFROM b\nFROM c AS one\nFROM d AS two");
  EXPECT_EQ(find_stage(file, "ONE", 3), 2u);
  EXPECT_EQ(find_stage(file, "one", 2), 0u);
  EXPECT_EQ(find_stage(file, "1", 3), 1u);
  EXPECT_EQ(find_stage(file, "two", 3), std::nullopt);
  EXPECT_EQ(find_stage(file, "3", 3), std::nullopt);
  EXPECT_EQ(find_stage(file, "", 3), std::nullopt);
  EXPECT_EQ(find_stage(file, "two", 99), 3u);
}

}  // namespace
}  // namespace berth::dockerfile
