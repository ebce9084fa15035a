// SPDX-License-Identifier: Apache-2.0
#include "cli/build/clean_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/text.h"

namespace berth::cli {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST(CleanLine, EscapeSequencesGoAndTextStays) {
  EXPECT_EQ(clean_line("\x1b[31mred\x1b[0m and \x1b[1;4mbold\x1b[m"), "red and bold");
  EXPECT_EQ(clean_line("\x1b]0;title\a!"), "!");
  EXPECT_EQ(clean_line("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\"), "link");
  EXPECT_EQ(clean_line("\x1bPsecret\x1b\\a\x1b(Bb\x1b=c\x1b"
                       "7d"),
            "abcd");
  EXPECT_EQ(clean_line("a\x1b[2Jb\x1b[10;10Hc\x1b[?25ld"), "abcd");
}

TEST(CleanLine, LinesStayLines) {
  EXPECT_EQ(clean_text("a\x1b[2Jb\n\r\nc\x1b]0;\nd\a\n"), "ab\n\nc]0;\nd\n");
  EXPECT_EQ(clean_text(""), "");
}

TEST(CleanLine, AnUnfinishedSequenceHidesNothing) {
  EXPECT_EQ(clean_line("\x1b]0;no end"), "]0;no end");
  EXPECT_EQ(clean_line("a\x1b[12"), "a[12");
  EXPECT_EQ(clean_line("a\x1b"), "a");
}

TEST(CleanLine, ControlCharactersGo) {
  EXPECT_EQ(clean_line(std::string_view("a\0b\bc\x7f"
                                        "d\x0e",
                                        8)),
            "abcd");
  EXPECT_EQ(clean_line("a\xc2\x9b"
                       "31mb"),
            "a31mb")
      << "C1: a terminal's CSI in one character";
  EXPECT_EQ(clean_line("a\xe2\x80\xae"
                       "b\xe2\x81\xa6"),
            "ab")
      << "overrides of the direction";
  EXPECT_EQ(clean_line("a\xff"
                       "b"),
            "a?b");
  EXPECT_EQ(clean_line("ab\tc"), "ab      c");
}

TEST(CleanLine, NothingThatCommandsATerminalIsEverLeft) {
  std::uint32_t state = 1;
  for (int round = 0; round < 5000; ++round) {
    static constexpr std::string_view pieces[] = {"\x1b", "[",  "]", "\a",       "\\",   "P",
                                                  "(",    "0;", "m", "\xc2",     "\x9b", "\x90",
                                                  "\r",   "\b", "x", "\xe2\x80", "\xae", "\n"};
    std::string text;
    for (int count = 0; count < 12; ++count)
      text += pieces[((state = state * 1664525 + 1013904223) >> 16) % std::size(pieces)];
    const std::string clean = clean_line(text);
    ASSERT_TRUE(valid_utf8(clean));
    for (std::size_t at = 0; at < clean.size(); ++at) {
      ASSERT_GE(static_cast<unsigned char>(clean[at]), 0x20) << text;
      const bool c1 = clean[at] == '\xc2' && static_cast<unsigned char>(clean[at + 1]) < 0xa0;
      ASSERT_FALSE(c1) << text;
    }
    ASSERT_EQ(clean.find("\xe2\x80\xae"), clean.npos);
  }
}

TEST(Columns, WideAndCombiningCharactersAreCounted) {
  EXPECT_EQ(columns_of("abc"), 3u);
  EXPECT_EQ(columns_of("\xe6\x97\xa5\xe6\x9c\xac"), 4u);
  EXPECT_EQ(columns_of("e\xcc\x81"), 1u);
  EXPECT_EQ(columns_of("\xf0\x9f\x9a\xa2"), 2u);
}

TEST(Columns, WhatIsCutFits) {
  EXPECT_EQ(cut_to_columns("abcdef", 6), "abcdef");
  EXPECT_EQ(cut_to_columns("abcdefg", 6), "abcde\xe2\x80\xa6");
  EXPECT_EQ(cut_to_columns("abc", 0), "");
  const std::string wide = cut_to_columns("\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e", 4);
  EXPECT_EQ(wide, "\xe6\x97\xa5\xe2\x80\xa6");
  EXPECT_LE(columns_of(wide), 4u);
}

TEST(OutputLines, LinesAreWholeWhateverThePieces) {
  OutputLines lines;
  EXPECT_THAT(lines.take("one\ntw"), ElementsAre("one"));
  EXPECT_EQ(lines.unfinished(), "tw");
  EXPECT_THAT(lines.take("o\n\nthree"), ElementsAre("two", ""));
  EXPECT_THAT(lines.finish(), ElementsAre("three"));
  EXPECT_THAT(lines.finish(), IsEmpty());
}

TEST(OutputLines, OfALineThatIsWrittenOverTheLastIsMeant) {
  OutputLines lines;
  EXPECT_THAT(lines.take("10%\r50%\r"), IsEmpty());
  EXPECT_EQ(lines.unfinished(), "50%");
  EXPECT_THAT(lines.take("100%\r\n"), ElementsAre("100%"));
}

TEST(OutputLines, WhatNeverEndsIsBounded) {
  OutputLines lines;
  std::size_t bytes = 0;
  for (int count = 0; count < 100; ++count)
    for (const std::string& line : lines.take(std::string(1000, 'x'))) bytes += line.size();
  EXPECT_GT(bytes, 80'000u) << "nothing is lost";
  OutputLines bar;
  for (int count = 0; count < 10'000; ++count) EXPECT_THAT(bar.take("\rstep 12345"), IsEmpty());
  EXPECT_EQ(bar.unfinished(), "step 12345");
}

}  // namespace
}  // namespace berth::cli
