// SPDX-License-Identifier: Apache-2.0
// Which files of a tree stay out of a build. The table holds what BuildKit leaves out for the same
// .dockerignore.
#include "dockerfile/ignore.h"

#include <gmock/gmock.h>

#include <chrono>
#include <set>

#include "base/text.h"

namespace berth::dockerfile {
namespace {

using testing::HasSubstr;

constexpr const char* kTree[] = {"README.md",
                                 "a.txt",
                                 "b.log",
                                 ".hidden",
                                 ".git/config",
                                 ".git/objects/x",
                                 "src/main.c",
                                 "src/main.o",
                                 "src/lib/util.c",
                                 "src/lib/util.o",
                                 "src/lib/deep/x.log",
                                 "src/lib/deep/keep",
                                 "docs/a.md",
                                 "docs/README.md",
                                 "docs/sub/b.md",
                                 "node_modules/x/index.js",
                                 "pkg/node_modules/y.js",
                                 "foo",
                                 "foobar",
                                 "barfoo",
                                 "fooxbar",
                                 "d/foo",
                                 "d/foobar",
                                 "d/barfoo",
                                 "d/e/foo",
                                 "d/e/fox",
                                 "with space",
                                 "[x]",
                                 "a*b",
                                 "back\\slash",
                                 "ümlaut",
                                 "ab",
                                 "ac",
                                 "a1",
                                 "a-b",
                                 "#hash",
                                 "!bang",
                                 "x/y/z/w",
                                 "dir.d/f",
                                 "tmp1/a",
                                 "tmp2/b/c"};

// "none" and "all" are left out, or all "without" some are left, or some "only".
struct Case {
  const char* rules;
  const char* left;
};

constexpr Case kCases[] = {
    {"", "none"},
    {"*.md", "without README.md"},
    {"**/*.md", "without README.md,docs/a.md,docs/README.md,docs/sub/b.md"},
    {"docs", "without docs/a.md,docs/README.md,docs/sub/b.md"},
    {"docs/", "without docs/a.md,docs/README.md,docs/sub/b.md"},
    {"/docs", "without docs/a.md,docs/README.md,docs/sub/b.md"},
    {"./docs", "without docs/a.md,docs/README.md,docs/sub/b.md"},
    {"docs/.", "without docs/a.md,docs/README.md,docs/sub/b.md"},
    {"docs/../src",
     "without src/main.c,src/main.o,src/lib/util.c,src/lib/util.o,src/lib/deep/x.log,src/lib/deep/keep"},
    {"src//lib", "without src/lib/util.c,src/lib/util.o,src/lib/deep/x.log,src/lib/deep/keep"},
    {"docs/*", "without docs/a.md,docs/README.md,docs/sub/b.md"},
    {"docs/**", "without docs/a.md,docs/README.md,docs/sub/b.md"},
    {"docs/*.md", "without docs/a.md,docs/README.md"},
    {"docs/**/*.md", "without docs/a.md,docs/README.md,docs/sub/b.md"},
    {"*/*.md", "without docs/a.md,docs/README.md"},
    {"*/*/*.md", "without docs/sub/b.md"},
    {"*", "all"},
    {"**", "all"},
    {"*\n!README.md", "only README.md"},
    {"*\n!docs", "only docs/a.md,docs/README.md,docs/sub/b.md"},
    {"*\n!docs/", "only docs/a.md,docs/README.md,docs/sub/b.md"},
    {"*\n!docs/sub", "only docs/sub/b.md"},
    {"*\n!src/**/*.c", "only src/main.c,src/lib/util.c"},
    {"*\n!**/*.c", "only src/main.c,src/lib/util.c"},
    {"**\n!src/lib", "only src/lib/util.c,src/lib/util.o,src/lib/deep/x.log,src/lib/deep/keep"},
    {"*\n!*.md\ndocs", "only README.md"},
    {"src\n!src/lib\nsrc/lib/deep\n!src/lib/deep/keep", "without src/main.c,src/main.o,src/lib/deep/x.log"},
    {"src\n!**/keep", "without src/main.c,src/main.o,src/lib/util.c,src/lib/util.o,src/lib/deep/x.log"},
    {"src\n!src/lib/*.c",
     "without src/main.c,src/main.o,src/lib/util.o,src/lib/deep/x.log,src/lib/deep/keep"},
    {"src/lib/*\n!src/lib/deep", "without src/lib/util.c,src/lib/util.o"},
    {"!docs\n*.md", "without README.md"},
    {"docs/sub\n!docs", "without docs/sub/b.md"},
    {"docs/a.md\n!docs", "without docs/a.md"},
    {"!docs\ndocs/a.md", "without docs/a.md"},
    {"docs/*\n!docs\n", "without docs/a.md,docs/README.md,docs/sub/b.md"},
    {"docs/*\n!docs\ndocs/sub", "without docs/a.md,docs/README.md,docs/sub/b.md"},
    {"**/foo", "without foo,d/foo,d/e/foo"},
    {"**foo", "without foo,barfoo,d/foo,d/barfoo,d/e/foo"},
    {"foo**", "without foo,foobar,fooxbar"},
    {"**/foo*", "without foo,foobar,fooxbar,d/foo,d/foobar,d/e/foo"},
    {"**foo*", "without foo,foobar,fooxbar,d/foo,d/foobar,d/e/foo"},
    {"foo**bar", "without foobar"},
    {"**bar", "without foobar,fooxbar,d/foobar"},
    {"d/**/foo", "without d/foo,d/e/foo"},
    {"d/**", "without d/foo,d/foobar,d/barfoo,d/e/foo,d/e/fox"},
    {"**/d", "without d/foo,d/foobar,d/barfoo,d/e/foo,d/e/fox"},
    {"d**", "without docs/a.md,docs/README.md,docs/sub/b.md,d/foo,d/foobar,d/barfoo,d/e/foo,d/e/fox,dir.d/f"},
    {"**/e/**", "without d/e/foo,d/e/fox"},
    {"**/**", "all"},
    {"**/*", "all"},
    {"*/**",
     "only README.md,a.txt,b.log,.hidden,foo,foobar,barfoo,fooxbar,with "
     "space,[x],a*b,back\\slash,ümlaut,ab,ac,a1,a-b,#hash,!bang"},
    {"***", "all"},
    {"d/***", "without d/foo,d/foobar,d/barfoo,d/e/foo,d/e/fox"},
    {"**/fo?", "without foo,d/foo,d/e/foo,d/e/fox"},
    {"fo?", "without foo"},
    {"?oo", "without foo"},
    {"[ab]*", "without a.txt,b.log,barfoo,a*b,back\\slash,ab,ac,a1,a-b"},
    {"[^ab]*", "only a.txt,b.log,barfoo,a*b,back\\slash,ab,ac,a1,a-b"},
    {"[a-c].txt", "without a.txt"},
    {"a[^b]", "without ac,a1"},
    {"a[!b]", "without ab"},
    {"[^.]*", "only .hidden,.git/config,.git/objects/x"},
    {"**/[f]oo", "without foo,d/foo,d/e/foo"},
    {"\\[x]", "without [x]"},
    {"\\[x\\]", "without [x]"},
    {"[[]x]", "without [x]"},
    {"a\\*b", "without a*b"},
    {"a*b", "without a*b,ab,a-b"},
    {"back\\\\slash", "without back\\slash"},
    {"back\\slash", "none"},
    {"?mlaut", "without ümlaut"},
    {"ü*", "without ümlaut"},
    {"[ü]mlaut", "without ümlaut"},
    {"[a-ü]mlaut", "without ümlaut"},
    {"with space", "without with space"},
    {"  foo  ", "without foo"},
    {"\tfoo", "without foo"},
    {"#foo\nfoo", "without foo"},
    {" #hash", "without #hash"},
    {"\\#hash", "without #hash"},
    {"#hash", "none"},
    {"\\!bang", "without !bang"},
    {"!bang\n", "none"},
    {"[!]bang", "without !bang"},
    {"/", "none"},
    {"/*", "all"},
    {".", "none"},
    {"..", "none"},
    {"../foo", "none"},
    {"*.md\r\n!README.md\r\n", "none"},
    {"\xef\xbb\xbf"
     "foo\n",
     "without foo"},
    {"\xef\xbb\xbf"
     "#foo\nfoo",
     "without foo"},
    {"foo\n\n\nab", "without foo,ab"},
    {"\nfoo", "without foo"},
    {"!*.md", "none"},
    {"*.md\n!README.md\nREADME.md", "without README.md"},
    {"*.md\n!*.md\ndocs/*.md", "without docs/a.md,docs/README.md"},
    {"!!bang", "none"},
    {"*\n!!bang", "only !bang"},
    {"*\n!\\!bang", "only !bang"},
    {"node_modules", "without node_modules/x/index.js"},
    {"**/node_modules", "without node_modules/x/index.js,pkg/node_modules/y.js"},
    {"**/node_modules/**", "without node_modules/x/index.js,pkg/node_modules/y.js"},
    {"**/node_modules\n!pkg/node_modules/y.js", "without node_modules/x/index.js"},
    {"*\n! README.md", "only README.md"},
    {"*\n!/README.md", "only README.md"},
    {"*\n!./README.md", "only README.md"},
    {"*\n!docs/../README.md", "only README.md"},
    {".*", "without .hidden,.git/config,.git/objects/x"},
    {".git", "without .git/config,.git/objects/x"},
    {"**/.git", "without .git/config,.git/objects/x"},
    {"**/.*", "without .hidden,.git/config,.git/objects/x"},
    {"*.*", "without README.md,a.txt,b.log,.hidden,.git/config,.git/objects/x,dir.d/f"},
    {"**/*.*",
     "without "
     "README.md,a.txt,b.log,.hidden,.git/config,.git/objects/x,src/main.c,src/main.o,src/lib/util.c,src/lib/"
     "util.o,src/lib/deep/x.log,docs/a.md,docs/README.md,docs/sub/b.md,node_modules/x/index.js,pkg/"
     "node_modules/y.js,dir.d/f"},
    {"*.d", "without dir.d/f"},
    {"x/*/z", "without x/y/z/w"},
    {"x/**/w", "without x/y/z/w"},
    {"x/**/z", "without x/y/z/w"},
    {"x/y/**/w", "without x/y/z/w"},
    {"**/y/**/w", "without x/y/z/w"},
    {"x/?/z/w", "without x/y/z/w"},
    {"x/y?z", "none"},
    {"x[^a]y", "without x/y/z/w"},
    {"x*y", "none"},
    {"x/*", "without x/y/z/w"},
    {"x/*/*", "without x/y/z/w"},
    {"x/*/*\n!x/y/z/w", "none"},
    {"x\n!x/y/z", "none"},
    {"tmp*", "without tmp1/a,tmp2/b/c"},
    {"tmp?/b", "without tmp2/b/c"},
    {"tmp[0-9]", "without tmp1/a,tmp2/b/c"},
    {"tmp[12]/*\n!tmp2/b", "without tmp1/a"},
    {"a.txt", "without a.txt"},
    {"a+txt", "none"},
    {"a.t*", "without a.txt"},
    {"(a)", "none"},
    {"{a}", "none"},
    {"a|b", "none"},
    {"^foo", "none"},
    {"foo$", "none"},
    {"^", "none"},
    {"$", "none"},
    {"a-b", "without a-b"},
    {"a1\nac\nab", "without ab,ac,a1"},
    {"**/*o*\n!**/fo*",
     "without "
     "b.log,.git/config,.git/objects/x,src/main.o,src/lib/util.o,src/lib/deep/x.log,docs/a.md,docs/"
     "README.md,docs/sub/b.md,node_modules/x/index.js,pkg/node_modules/y.js,barfoo,d/barfoo"},
    {"d\n!d/e\nd/e/foo", "without d/foo,d/foobar,d/barfoo,d/e/foo"},
    {"*\n!d/**/foo", "only d/foo,d/e/foo"},
    {"*\n!**/e/foo\n", "only d/e/foo"},
    {"*\n!d/*/foo", "only d/e/foo"},
};

IgnoreRules rules_of(std::string_view text) {
  Result<IgnoreRules> rules = IgnoreRules::parse(text);
  EXPECT_TRUE(rules) << text << ": " << rules.error().message;
  return rules ? *rules : IgnoreRules();
}

std::set<std::string> expected(std::string_view left) {
  std::set<std::string> all(std::begin(kTree), std::end(kTree)), listed;
  if (left == "none") return all;
  if (left == "all") return {};
  auto [kind, names] = split_once(left, ' ');
  for (std::string_view name : split(names, ',')) listed.emplace(name);
  if (kind == "only") return listed;
  for (const std::string& name : listed) EXPECT_EQ(all.erase(name), 1u) << name;
  return all;
}

// As a builder does it: directories are entered from the top, and only where something of them may be wanted.
bool walk_comes_to(const IgnoreRules& rules, std::string_view path) {
  for (std::size_t slash = path.find('/'); slash != std::string_view::npos; slash = path.find('/', slash + 1))
    if (rules.excluded(path.substr(0, slash)) && !rules.may_include_below(path.substr(0, slash)))
      return false;
  return !rules.excluded(path);
}

TEST(Ignored, IsWhatBuildKitLeavesOut) {
  for (const Case& one : kCases) {
    const IgnoreRules rules = rules_of(one.rules);
    std::set<std::string> left, walked;
    for (const char* path : kTree) {
      if (!rules.excluded(path)) left.emplace(path);
      if (walk_comes_to(rules, path)) walked.emplace(path);
    }
    EXPECT_EQ(left, expected(one.left)) << one.rules;
    EXPECT_EQ(walked, left) << one.rules;
  }
}

TEST(Ignored, DirectoriesAreEnteredOnlyWhereSomethingMayBeTakenBackIn) {
  const IgnoreRules rules = rules_of("*\n!src/*/keep\n!docs/sub\nvendor");
  for (const char* directory : {"src", "src/lib", "docs"})
    EXPECT_TRUE(rules.may_include_below(directory)) << directory;
  for (const char* directory : {"vendor", "src/lib/deep", "docs/sub", "documents", "srcs", "sr"})
    EXPECT_FALSE(rules.may_include_below(directory)) << directory;
  EXPECT_TRUE(rules_of("*\n!**/keep").may_include_below("a/b/c"));
  EXPECT_FALSE(rules_of("*").may_include_below("a"));
}

TEST(Ignored, RulesThatAreMalformedAreRefused) {
  for (const char* rules : {"!", "! ", "a\n!\nb", "!/", "!//"}) {
    Result<IgnoreRules> parsed = IgnoreRules::parse(rules);
    ASSERT_FALSE(parsed) << rules;
    EXPECT_EQ(parsed.error().message, "illegal exclusion pattern: \"!\"");
    EXPECT_EQ(parsed.error().kind, ErrorKind::invalid);
  }
  for (const char* rules : {"[", "a[", "[]a]", "[a-]", "[-a]", "[^]", "foo\\", "*[", "foo/[", "![", "[a-b"}) {
    Result<IgnoreRules> parsed = IgnoreRules::parse(rules);
    ASSERT_FALSE(parsed) << rules;
    EXPECT_THAT(parsed.error().message, HasSubstr("syntax error in pattern"));
  }
  EXPECT_FALSE(IgnoreRules::parse(std::string(kLongestPattern + 1, 'a')));
}

TEST(Ignored, RulesMayComeFromAList) {
  Result<IgnoreRules> rules = IgnoreRules::of({"*.md", "!README.md", "#a"});
  ASSERT_TRUE(rules);
  EXPECT_TRUE(rules->excluded("a.md"));
  EXPECT_FALSE(rules->excluded("README.md"));
  EXPECT_TRUE(rules->excluded("#a"));  // not a comment
  EXPECT_FALSE(IgnoreRules::of({"["}));
  EXPECT_TRUE(IgnoreRules::of({})->empty());
  EXPECT_FALSE(rules->empty());
  EXPECT_TRUE(rules_of("# nothing\n\n").empty());
}

TEST(Patterns, MatchPathsOrWhatIsBelow) {
  EXPECT_TRUE(matches("a/*", "a/b"));
  EXPECT_FALSE(matches("a/*", "a/b/c"));
  EXPECT_TRUE(matches_or_below("a/*", "a/b/c"));
  EXPECT_FALSE(matches_or_below("a/*", "a"));
  EXPECT_FALSE(matches("[", "["));
  EXPECT_FALSE(matches_or_below("[", "["));
  EXPECT_FALSE(matches("", "a"));
  // A backslash makes any character ordinary; BuildKit has regular expressions' meanings shine through.
  EXPECT_TRUE(matches("\\f\\o\\d", "fod"));
  EXPECT_TRUE(matches("[\\]\\-a]", "-"));
  EXPECT_FALSE(matches("[\\]\\-a]", "b"));
  EXPECT_FALSE(matches("[b-a]", "a"));
  EXPECT_TRUE(matches("?", "\xff"));
  EXPECT_TRUE(matches("\xff*", "\xff\xfe"));
  EXPECT_FALSE(matches("\xff", "\xfe"));
  EXPECT_TRUE(check_pattern("a[b-c]*"));
  EXPECT_EQ(check_pattern("a[").error().kind, ErrorKind::invalid);
  for (const char* pattern : {"*", "a?", "[a]", "\\a"}) EXPECT_TRUE(has_wildcards(pattern)) << pattern;
  EXPECT_FALSE(has_wildcards("a/b.c]"));
}

TEST(Patterns, AreMatchedInBoundedTime) {
  std::string stars, many;
  while (stars.size() + 10 < kLongestPattern) stars += "**/*a";
  while (many.size() + 10 < kLongestPattern) many += "*a*?";
  const std::string path(4000, 'a');
  std::string deep;
  while (deep.size() < 4000) deep += "a/";
  const auto begin = std::chrono::steady_clock::now();
  for (const std::string& pattern : {stars, many}) {
    EXPECT_FALSE(matches(pattern + "b", path));
    EXPECT_FALSE(matches(pattern + "b", deep + "a"));
  }
  // A clever matcher is not asked for: only that it is none that tries all ways, which would take for ever.
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(30));
}

TEST(Patterns, ArePathsThatAreCleanedFirst) {
  constexpr std::pair<const char*, const char*> kPaths[] = {
      {"", "."},
      {".", "."},
      {"/", "/"},
      {"a/", "a"},
      {"a//b", "a/b"},
      {"a/./b", "a/b"},
      {"a/../b", "b"},
      {"a/..", "."},
      {"../a", "../a"},
      {"../../a", "../../a"},
      {"a/../../b", "../b"},
      {"/../a", "/a"},
      {"/a/../..", "/"},
      {"./a/b/..", "a"},
      {"...", "..."},
  };
  for (const auto& [path, clean] : kPaths) EXPECT_EQ(clean_path(path), clean) << path;
}

}  // namespace
}  // namespace berth::dockerfile
