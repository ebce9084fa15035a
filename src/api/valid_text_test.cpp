// SPDX-License-Identifier: Apache-2.0
#include "api/valid_text.h"

#include <gtest/gtest.h>

#include "base/text.h"

namespace berth::api {
namespace {

TEST(ValidText, BytesThatAreNoCharacterAreReplacedAndTheOthersStay) {
  EXPECT_EQ(valid_text("a\xc3\xa4z"), "a\xc3\xa4z");
  EXPECT_EQ(valid_text("a\xffz"), "a\xef\xbf\xbdz");
  EXPECT_EQ(valid_text("\xed\xa0\x80!"), "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd!")
      << "half of a surrogate pair";
  EXPECT_EQ(valid_text("end\xc3"), "end\xef\xbf\xbd");
}

TEST(WholeCharacters, ACharacterThatIsCutBetweenPiecesIsWhole) {
  const std::string text = "1\xe2\x82\xac \xf0\x9f\x9a\xa2.";
  WholeCharacters pieces;
  std::string out;
  for (const char byte : text) {
    const std::string whole = pieces.take(std::string_view(&byte, 1));
    EXPECT_TRUE(valid_utf8(whole));
    out += whole;
  }
  EXPECT_EQ(out + pieces.finish(), text);
}

TEST(WholeCharacters, WhatNeverGetsWholeDoesNotWaitForEver) {
  WholeCharacters pieces;
  EXPECT_EQ(pieces.take("a\xe2\x82"), "a");
  EXPECT_EQ(pieces.take("b"),
            "\xe2\x82"
            "b");
  EXPECT_EQ(pieces.take("\xf0\x9f"), "");
  EXPECT_EQ(pieces.finish(), "\xf0\x9f");
  EXPECT_EQ(pieces.take(std::string(10, '\x80')).size(), 10u) << "no beginning is waited for";
}

TEST(WholeCharacters, AnyBytesInAnyPiecesAreAsValidAsInOne) {
  std::uint32_t state = 7;
  for (int round = 0; round < 2000; ++round) {
    WholeCharacters pieces;
    std::string all, out;
    for (int piece = 0; piece < 6; ++piece) {
      std::string bytes;
      for (std::uint32_t left = (state = state * 1664525 + 1013904223) >> 29; left > 0; --left)
        bytes += static_cast<char>((state = state * 1664525 + 1013904223) >> 24);
      out += valid_text(pieces.take(bytes));
      all += bytes;
    }
    out += valid_text(pieces.finish());
    ASSERT_EQ(out, valid_text(all));
    ASSERT_TRUE(valid_utf8(out));
  }
}

}  // namespace
}  // namespace berth::api
