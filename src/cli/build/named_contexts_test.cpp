// SPDX-License-Identifier: Apache-2.0
#include "cli/build/named_contexts.h"

#include <gtest/gtest.h>

namespace berth::cli {
namespace {

const std::string kDigest = "sha256:" + std::string(64, 'a');

std::string parts(std::string_view text) {
  const Result<LayoutPlace> place = parse_layout_place(text);
  return place ? place->directory + " " + place->tag + " " + place->digest : place.error().message;
}

TEST(LayoutPlace, HasATagOrADigestOrBothOrNeither) {
  EXPECT_EQ(parts("/a/b"), "/a/b  ");
  EXPECT_EQ(parts("./a:1.0"), "./a 1.0 ");
  EXPECT_EQ(parts("a@" + kDigest), "a  " + kDigest);
  EXPECT_EQ(parts("a:x@" + kDigest), "a x " + kDigest);
}

TEST(LayoutPlace, ColonsAndAtSignsInDirectoriesAreTheirs) {
  EXPECT_EQ(parts("/a:b/c@d/e"), "/a:b/c@d/e  ");
  EXPECT_EQ(parts("/a:b/c:1"), "/a:b/c 1 ");
}

TEST(LayoutPlace, RefusesWhatIsNoDigestAndNoDirectory) {
  EXPECT_FALSE(parse_layout_place("a@sha256:12"));
  EXPECT_FALSE(parse_layout_place("a@x"));
  EXPECT_FALSE(parse_layout_place(""));
  EXPECT_FALSE(parse_layout_place(":tag"));
}

}  // namespace
}  // namespace berth::cli
