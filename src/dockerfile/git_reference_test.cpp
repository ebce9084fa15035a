// SPDX-License-Identifier: Apache-2.0
#include "dockerfile/git_reference.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace berth::dockerfile {
namespace {

using testing::HasSubstr;

GitReference parsed(std::string_view text) {
  Result<GitReference> reference = parse_git_reference(text);
  EXPECT_TRUE(reference) << text << ": " << reference.error().message;
  return reference ? *reference : GitReference{};
}

TEST(IsGitReference, KnowsRepositoriesByTheirSchemeOrTheirName) {
  for (const char* text : {"git://h/p", "ssh://h/p", "ssh://u@h:22/p", "git@h:p", "me@h:p/q.git",
                           "https://h/p.git", "http://h/p.git#x", "https://h/p.git?ref=x", "github.com/a/b",
                           "git@-oProxyCommand=x:p", "ssh://-o/x"})
    EXPECT_TRUE(is_git_reference(text)) << text;
  for (const char* text : {"", ".", "./a", "/a.git", "a.git", "https://h/p", "https://h/p.tar.gz#x.git",
                           "file:///a.git", "ext::sh -c x", "dir/git@h:p", "a:b", "https://h/p?x=.git"})
    EXPECT_FALSE(is_git_reference(text)) << text;
}

TEST(ParseGitReference, TakesItApart) {
  struct Case {
    std::string_view text, url, ref, subdirectory;
  };
  for (const Case& one : {
           Case{"https://h/p.git", "https://h/p.git", "", ""},
           Case{"https://h:8443/a/p.git#v1", "https://h:8443/a/p.git", "v1", ""},
           Case{"https://h/p.git#v1:a/./b/", "https://h/p.git", "v1", "a/b"},
           Case{"https://h/p.git#:/a", "https://h/p.git", "", "a"},
           Case{"https://h/p.git#", "https://h/p.git", "", ""},
           Case{"http://h/p.git?ref=x&subdir=a%2Fb", "http://h/p.git", "x", "a/b"},
           Case{"https://h/p.git?tag=v1", "https://h/p.git", "refs/tags/v1", ""},
           Case{"https://h/p.git?branch=b", "https://h/p.git", "refs/heads/b", ""},
           Case{"git@h:a/p.git#main:d", "git@h:a/p.git", "main", "d"},
           Case{"ssh://git@h:22/p#refs/pull/1/head", "ssh://git@h:22/p", "refs/pull/1/head", ""},
           Case{"git://[::1]:9418/p", "git://[::1]:9418/p", "", ""},
           Case{"github.com/a/b#x", "https://github.com/a/b", "x", ""},
       }) {
    const GitReference reference = parsed(one.text);
    EXPECT_EQ(reference.url, one.url);
    EXPECT_EQ(reference.ref, one.ref) << one.text;
    EXPECT_EQ(reference.subdirectory, one.subdirectory) << one.text;
  }
  EXPECT_EQ(parsed("https://h/p.git?checksum=0123456").checksum, "0123456");
  EXPECT_EQ(parsed("https://h/p.git?keep-git-dir=1").keep_git_directory, true);
  EXPECT_FALSE(parsed("https://h/p.git?submodules=false").submodules);
}

TEST(ParseGitReference, KeepsWhoAsksOutOfTheAddress) {
  const GitReference reference = parsed("https://me:pass%40word@h:1/p.git");
  EXPECT_EQ(reference.url, "https://h:1/p.git");
  EXPECT_EQ(reference.origin, "https://h:1/");
  EXPECT_EQ(reference.user, "me:pass@word");
  const Result<GitReference> wrong = parse_git_reference("https://me:password@h/p.git#-x");
  ASSERT_FALSE(wrong);
  EXPECT_THAT(wrong.error().message, testing::Not(HasSubstr("password")));
}

TEST(ParseGitReference, RefusesOptionsControlsAndWaysOut) {
  using namespace std::string_literals;
  for (const std::string& text : {
           "git@-oProxyCommand=x:p"s,
           "-u@h:p"s,
           "git@h:-p"s,
           "ssh://-oProxyCommand=x/p"s,
           "ssh://-x@h/p"s,
           "ssh://u:pass@h/p"s,
           "git://u@h/p"s,
           "git://h/"s,
           "git://h"s,
           "git://h//"s,
           "git:///p"s,
           "ssh://h:0/p"s,
           "ssh://h:65536/p"s,
           "ssh://h:x/p"s,
           "git://h/-p"s,
           "git://h/%2dp"s,
           "git://h/a%0ab"s,
           "git://h/a%00"s,
           "git://h/a\nb"s,
           "git://h/a b"s,
           "git://h$(x)/p"s,
           "git://h/p%zz"s,
           "file:///p"s,
           "ext::sh"s,
           "fd::1"s,
           "ext://h/p.git"s,
           "https://h/p.git#--upload-pack=x"s,
           "https://h/p.git#-x"s,
           "https://h/p.git#%2dx"s,
           "https://h/p.git#a..b"s,
           "https://h/p.git#a%0ab"s,
           "https://h/p.git#a%20b"s,
           "https://h/p.git#a^b"s,
           "https://h/p.git#+a"s + "~"s,
           "https://h/p.git#a*"s,
           "https://h/p.git#a.lock"s,
           "https://h/p.git#.a"s,
           "https://h/p.git#a/"s,
           "https://h/p.git#/a"s,
           "https://h/p.git#a//b"s,
           "https://h/p.git#@"s,
           "https://h/p.git#a@{1}"s,

           "https://h/p.git#a:.."s,
           "https://h/p.git#a:b/../../c"s,
           "https://h/p.git#a:b%00"s,
           "https://h/p.git?ref=-x"s,
           "https://h/p.git?ref=a&ref=b"s,
           "https://h/p.git?ref=a#b"s,
           "https://h/p.git?subdir=../x"s,
           "https://h/p.git?upload-pack=x"s,
           "https://h/p.git?checksum=xyz"s,
           "https://h/p.git?checksum=123456"s,
           "https://h/p.git?subdir=a#:b"s,
           "https://h/" + std::string(5000, 'a') + ".git",
       }) {
    const Result<GitReference> reference = parse_git_reference(text);
    ASSERT_FALSE(reference) << text;
    EXPECT_EQ(reference.error().kind, ErrorKind::invalid);
    for (const char c : reference.error().message) EXPECT_GE(static_cast<unsigned char>(c), ' ') << text;
  }
}

TEST(SubmoduleReference, IsRelativeToItsRepositoryAndStaysOnTheHost) {
  auto url = [](std::string_view parent, std::string_view address) {
    const Result<GitReference> reference = submodule_reference(parsed(parent), address);
    return reference ? reference->url : "refused";
  };
  EXPECT_EQ(url("https://h/a/p.git", "../lib.git"), "https://h/a/lib.git");
  EXPECT_EQ(url("https://h/a/p.git/", "../../b/lib"), "https://h/b/lib");
  EXPECT_EQ(url("https://h/a/p.git", "./sub"), "https://h/a/p.git/sub");
  EXPECT_EQ(url("git@h:a/p.git", "../lib.git"), "git@h:a/lib.git");
  EXPECT_EQ(url("ssh://git@h/a/p", "https://other/x"), "https://other/x");
  for (const char* address : {"../../../x", "../../..", "/srv/x", "file:///srv/x", "-uevil", "ext::sh -c x",
                              "", "..", "https://h/x.git#y", "https://h/x.git?ref=y", "./a\nb"})
    EXPECT_EQ(url("https://h/a/p.git", address), "refused") << address;
}

TEST(GitChecksum, IsSevenDigitsOrMore) {
  EXPECT_TRUE(check_git_checksum("0123abc"));
  EXPECT_TRUE(check_git_checksum(std::string(40, 'a')));
  for (const char* wrong : {"", "012345", "0123ABC", "sha256:0123456", "-0123456"})
    EXPECT_FALSE(check_git_checksum(wrong)) << wrong;
  EXPECT_TRUE(is_git_commit(std::string(64, '0')));
  EXPECT_FALSE(is_git_commit(std::string(41, '0')));
}

}  // namespace
}  // namespace berth::dockerfile
