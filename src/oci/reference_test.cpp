// SPDX-License-Identifier: Apache-2.0
#include "oci/reference.h"

#include <gtest/gtest.h>

#include "oci/glob.h"

namespace berth::oci {
namespace {

const std::string kHex(64, 'a');

TEST(Reference, FillsInWhatShortNamesLeaveOut) {
  struct Case {
    std::string text, full, familiar;
  } cases[] = {
      {"bb", "docker.io/library/bb:latest", "bb:latest"},
      {"bb:1.36", "docker.io/library/bb:1.36", "bb:1.36"},
      {"library/bb", "docker.io/library/bb:latest", "bb:latest"},
      {"ann/bb", "docker.io/ann/bb:latest", "ann/bb:latest"},
      {"ann/bb/cc", "docker.io/ann/bb/cc:latest", "ann/bb/cc:latest"},
      {"library/bb/cc", "docker.io/library/bb/cc:latest", "library/bb/cc:latest"},
      {"docker.io/bb", "docker.io/library/bb:latest", "bb:latest"},
      {"index.docker.io/bb", "docker.io/library/bb:latest", "bb:latest"},
      {"localhost/bb", "localhost/bb:latest", "localhost/bb:latest"},
      {"localhost:5000/bb", "localhost:5000/bb:latest", "localhost:5000/bb:latest"},
      {"registry.example.com/a/b:v1", "registry.example.com/a/b:v1", "registry.example.com/a/b:v1"},
      {"HOST/bb", "HOST/bb:latest", "HOST/bb:latest"},
      {"[::1]:5000/bb", "[::1]:5000/bb:latest", "[::1]:5000/bb:latest"},
      {"localhost:5000", "docker.io/library/localhost:5000", "localhost:5000"},
      {"a-b--c_d__e.f", "docker.io/library/a-b--c_d__e.f:latest", "a-b--c_d__e.f:latest"},
      {"bb@sha256:" + kHex, "docker.io/library/bb@sha256:" + kHex, "bb@sha256:" + kHex},
      {"bb:1@sha256:" + kHex, "docker.io/library/bb:1@sha256:" + kHex, "bb:1@sha256:" + kHex},
      {"bb:_Tag.x-1", "docker.io/library/bb:_Tag.x-1", "bb:_Tag.x-1"},
      {std::string(63, 'a'), "docker.io/library/" + std::string(63, 'a') + ":latest",
       std::string(63, 'a') + ":latest"},
  };
  for (const Case& c : cases) {
    Result<Reference> reference = Reference::parse_with_default_tag(c.text);
    ASSERT_TRUE(reference) << c.text << ": " << reference.error().message;
    EXPECT_EQ(reference->text(), c.full);
    EXPECT_EQ(reference->familiar(), c.familiar);
    EXPECT_EQ(*Reference::parse(reference->familiar()), *reference) << "the familiar form means the same";
  }
}

TEST(Reference, RefusesWhatTheGrammarDoesNotHave) {
  std::string cases[] = {
      "",
      ":",
      "@",
      "/",
      "bb:",
      "bb@",
      ":tag",
      "@sha256:" + kHex,
      "/bb",
      "bb/",
      "a//b",
      "../etc",
      "a/../b",
      "./a",
      "a/./b",
      "-a",
      "a-",
      "a..b",
      "a___b",
      "a._b",
      "_a",
      "a_",
      ".a",
      "a.",
      "BB",
      "a/B",
      "bb:a b",
      "bb:-x",
      "bb:.x",
      "bb:" + std::string(129, 'a'),
      "bb:x:y",
      "b b",
      "bb\n",
      std::string("b\0b", 3),
      "bb:\xc3\xa9",
      "\xc3\xa9",
      "host:port/bb",
      "host:/bb",
      ":5000/bb",
      "-host.x/bb",
      "host..x/bb",
      "host./bb",
      "[::1/bb",
      "[]/bb",
      "[g::]/bb",
      "[::1]x/bb",
      "http://host/bb",
      "https://host/bb",
      "bb@sha256:" + kHex.substr(1),
      "bb@sha256:" + kHex + "a",
      "bb@sha256:" + std::string(64, 'A'),
      "bb@md5:" + std::string(32, 'a'),
      "bb@sha256:" + kHex + "@sha256:" + kHex,
      "bb@sha256:" + kHex + ":tag",
      kHex,
      "sha256:" + kHex,
      "a/" + std::string(255, 'a'),
      std::string(5000, 'a'),
      "$(id)",
      "a;b",
      "a%2fb",
      "a\\b",
      "~a",
      "a?b",
      "a*",
  };
  for (const std::string& text : cases) {
    Result<Reference> reference = Reference::parse(text);
    // "sha256:<hex>" is a name with a tag by the grammar; ids are told apart before names are parsed.
    if (text == "sha256:" + kHex) {
      EXPECT_TRUE(reference);
      continue;
    }
    ASSERT_FALSE(reference) << text;
    EXPECT_EQ(reference.error().kind, ErrorKind::invalid);
    EXPECT_LT(reference.error().message.size(), 1500u);
  }
}

TEST(Reference, SaysWhatIsWrongWithCapitals) {
  EXPECT_EQ(Reference::parse("ann/Bb").error().message,
            "invalid reference format: repository name (ann/Bb) must be lowercase");
}

TEST(Reference, AllowsNamesUpToTheLimit) {
  std::string most(255 - std::string("docker.io/library/").size(), 'a');
  EXPECT_TRUE(Reference::parse(most));
  EXPECT_EQ(Reference::parse(most + "a").error().message,
            "repository name must not be more than 255 characters");
  EXPECT_TRUE(Reference::parse("bb:" + std::string(128, 'a')));
}

TEST(Reference, MatchesPatternsAsDockerDoes) {
  auto matches = [](std::string_view name, std::string_view pattern) {
    return *matches_pattern(*Reference::parse_with_default_tag(name), pattern);
  };
  EXPECT_TRUE(matches("bb", "bb"));
  EXPECT_TRUE(matches("bb", "bb:latest"));
  EXPECT_TRUE(matches("bb", "b*"));
  EXPECT_TRUE(matches("bb:1.2", "*:1.?"));
  EXPECT_TRUE(matches("bb:1.2", "bb:[^a][.]2"));
  EXPECT_FALSE(matches("ann/bb", "*"));
  EXPECT_TRUE(matches("ann/bb", "*/*"));
  EXPECT_TRUE(matches("ann/bb", "ann/bb:lat*"));
  EXPECT_FALSE(matches("ann/bb", "ann*"));
  EXPECT_FALSE(matches("bb", "bb:1"));
  EXPECT_EQ(matches_pattern(*Reference::parse("bb"), "[a").error().kind, ErrorKind::invalid);
}

TEST(Glob, BacktracksOnlyInsideOneComponent) {
  EXPECT_TRUE(*matches_glob("*a/b*c", "xaxa/bxcxc"));
  EXPECT_FALSE(*matches_glob("*a*c", "a/c"));
  EXPECT_TRUE(*matches_glob("a\\*b", "a*b"));
  EXPECT_FALSE(*matches_glob("a\\*b", "axb"));
  EXPECT_TRUE(*matches_glob("", ""));
  EXPECT_TRUE(*matches_glob("***", ""));
}

TEST(Glob, MalformedPatternsAreErrorsEvenWhereTheTextDoesNotReachThem) {
  for (std::string_view pattern : {"x[", "x[]", "x[a", "x[a-", "x[-a]", "x[a-]", "x\\", "x[^]", "x[\\"})
    EXPECT_FALSE(matches_glob(pattern, "y")) << pattern;
}

TEST(Glob, HostilePatternsTakeNoTime) {
  std::string pattern, text(2000, 'a');
  for (int i = 0; i < 500; ++i) pattern += "a*";
  EXPECT_FALSE(*matches_glob(pattern + "b", text));
}

}  // namespace
}  // namespace berth::oci
