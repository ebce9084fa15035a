// SPDX-License-Identifier: Apache-2.0
#include "build/git_fetch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace berth::build {
namespace {

const std::string kA(40, 'a'), kB(40, 'b'), kC(40, 'c'), kD(40, 'd');

TEST(ChooseCommit, PrefersBranchesAndPeelsTags) {
  const std::string listing = kA + "\tHEAD\n" + kA + "\trefs/heads/x\n" + kB + "\trefs/tags/x\n" + kC +
                              "\trefs/tags/x^{}\n" + kD + "\trefs/pull/1/head\n" + kB +
                              "\trefs/heads/refs/tags/x\n";
  EXPECT_EQ(choose_commit(listing, "").id, kA);
  EXPECT_EQ(choose_commit(listing, "").name, "HEAD");
  EXPECT_EQ(choose_commit(listing, "x").name, "refs/heads/x");
  EXPECT_EQ(choose_commit(listing, "refs/tags/x").id, kC);
  EXPECT_EQ(choose_commit(listing, "tags/x").id, kC);
  EXPECT_EQ(choose_commit(listing, "pull/1/head").id, kD);
  EXPECT_EQ(choose_commit(listing, "y").id, "");
}

TEST(ChooseCommit, TakesNothingButIdsFromAServer) {
  EXPECT_EQ(choose_commit("--option\tHEAD\n", "").id, "");
  EXPECT_EQ(choose_commit("\tHEAD\n\n\t\nHEAD", "").id, "");
}

class GitHeader : public testing::Test {
 protected:
  std::string header(std::string_view text, std::string_view asked = "https://h/") const {
    return git_header(*dockerfile::parse_git_reference(text), asked, secrets);
  }
  std::map<std::string, std::string> secrets;
};

TEST_F(GitHeader, IsOfTheTokenForTheHostOfTheReference) {
  EXPECT_EQ(header("https://h/p.git"), "");
  secrets["GIT_AUTH_TOKEN"] = "secret\n";
  EXPECT_EQ(header("https://h/p.git"), "Authorization: Basic eC1hY2Nlc3MtdG9rZW46c2VjcmV0");
  EXPECT_EQ(header("https://other/p.git"), "") << "a submodule's host";
  EXPECT_EQ(header("http://h/p.git"), "") << "another origin";
  EXPECT_EQ(header("ssh://h/p.git"), "");
  secrets["GIT_AUTH_HEADER"] = "Bearer x";
  EXPECT_EQ(header("https://h/p.git"), "Authorization: Bearer x");
  secrets["GIT_AUTH_HEADER.other"] = "Bearer y";
  EXPECT_EQ(header("https://other/p.git"), "Authorization: Bearer y");
  EXPECT_EQ(header("http://other/p.git"), "") << "in clear text, on a submodule's word";
  EXPECT_EQ(header("http://other/p.git", "http://other/"), "Authorization: Bearer y")
      << "the user's own word";
  EXPECT_EQ(header("https://u:p@h/p.git"), "Authorization: Basic dTpw") << "what is written there goes first";
}

TEST_F(GitHeader, HasOneLine) {
  secrets["GIT_AUTH_HEADER"] = "Bearer x\r\nHost: other";
  EXPECT_EQ(header("https://h/p.git"), "");
}

}  // namespace
}  // namespace berth::build
