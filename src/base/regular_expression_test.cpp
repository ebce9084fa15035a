// SPDX-License-Identifier: Apache-2.0
#include "base/regular_expression.h"

#include <gtest/gtest.h>
#include <time.h>

#include <string>

namespace berth {
namespace {

using namespace std::string_literals;

bool found(std::string_view expression, std::string_view text) {
  Result<RegularExpression> compiled = RegularExpression::compile(expression);
  EXPECT_TRUE(compiled) << expression << ": " << compiled.error().message;
  return compiled && compiled->found_in(text);
}
ErrorKind refusal(std::string_view expression) {
  Result<RegularExpression> compiled = RegularExpression::compile(expression);
  EXPECT_FALSE(compiled) << expression;
  return compiled ? ErrorKind::system : compiled.error().kind;
}
double processor_seconds() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
}

struct Example {
  const char* expression;
  const char* holds;
  const char* does_not;
};

TEST(RegularExpressions, MeanWhatTheySay) {
  for (const Example& example : {
           Example{"b", "abc", "ac"},
           Example{"^b", "bc", "ab"},
           Example{"b$", "ab", "bc"},
           Example{"^$", "", "a"},
           Example{"^a.c$", "abc", "ac"},
           Example{"^(web|db)-[0-9]+$", "db-17", "db-"},
           Example{"^(|a)b$", "b", "aab"},
           Example{"^ab*c$", "abbbc", "adc"},
           Example{"^ab+c$", "abbc", "ac"},
           Example{"^ab?c$", "ac", "abbc"},
           Example{"^ab+?c$", "abbc", "ac"},
           Example{"^a{3}$", "aaa", "aa"},
           Example{"^a{2,}$", "aaaa", "a"},
           Example{"^a{1,2}$", "aa", "aaa"},
           Example{"^(ab){2}$", "abab", "ab"},
           Example{"^a{0}b$", "b", "ab"},
           Example{"^a{,2}$", "a{,2}", "aa"},
           Example{"^a{x$", "a{x", "a"},
           Example{"^[]a-c]+$", "ab]c", "abd"},
           Example{"^[^a-c]$", "d", "b"},
           Example{"^[a-]$", "-", "b"},
           Example{"^[\\d_]+$", "1_2", "a"},
           Example{"^[[:alpha:]]+$", "abC", "a1"},
           Example{"^[[:^digit:]]$", "a", "1"},
           Example{"^\\d\\D\\s\\S\\w\\W$", "1a a_-", "1a a_a"},
           Example{"^a\\.b$", "a.b", "axb"},
           Example{"^\\x41\\x2e$", "A.", "B."},
           Example{"^\\t$", "\t", "t"},
           Example{"\\bweb\\b", "a web-1", "webs"},
           Example{"\\Bb", "ab", "b"},
           Example{"\\Aa\\z", "a", "ab"},
           Example{"(?i)^WeB[x-z]$", "wEbY", "wEbA"},
           Example{"^a(?i:b)c$", "aBc", "aBC"},
           Example{"^(?s).$", "\n", ""},
           Example{"^.$", "a", "\n"},
           Example{"^(?P<name>a)(?:b)(?<other>c)$", "abc", "ab"},
           Example{"^(a*)*$", "aaa", "ab"},
           Example{"^(a|b)*c|d$", "ababc", "ababe"},
           Example{"(^|/)web$", "/web", "aweb"},
       }) {
    EXPECT_TRUE(found(example.expression, example.holds)) << example.expression << " in " << example.holds;
    EXPECT_FALSE(found(example.expression, example.does_not))
        << example.expression << " in " << example.does_not;
  }
  EXPECT_TRUE(found("", ""));
  EXPECT_TRUE(found("a*", "b"));
  EXPECT_TRUE(found("^\xc3.$", "\xc3\xa4"));
  EXPECT_TRUE(found("^a\\x00b$", "a\0b"s));
}

TEST(RegularExpressions, ThatAreNoneAreRefused) {
  for (const char* expression : {"(",        ")",
                                 "a)",       "(a",
                                 "[",        "[a",
                                 "[]",       "[z-a]",
                                 "*",        "+a",
                                 "?",        "a**",
                                 "a{2}{3}",  "(?",
                                 "(?x)",     "(?P<a",
                                 "(?P<>a)",  "\\",
                                 "\\1",      "\\p",
                                 "\\x4",     "[\\",
                                 "[[:no:]]", "a{3,2}",
                                 "a{1001}",  "a{99999999999999999999}",
                                 "(*a)",     "|*",
                                 "(?i"})
    EXPECT_EQ(refusal(expression), ErrorKind::invalid) << expression;
}

TEST(RegularExpressions, ThatAreTooLargeAreRefusedAtOnce) {
  EXPECT_EQ(refusal("((((a{0,99}){0,99}){0,99}){0,99})x"), ErrorKind::exhausted);
  EXPECT_EQ(refusal("(((((){99}){99}){99}){99}){99}"), ErrorKind::exhausted);  // of nothing
  EXPECT_EQ(refusal(std::string(100'000, 'a')), ErrorKind::exhausted);
  EXPECT_EQ(refusal(std::string(100'000, '(')), ErrorKind::invalid);
  EXPECT_EQ(refusal(std::string(100'000, '[')), ErrorKind::invalid);
}

// Processor time, which other load does not stretch. With stepping back, or with sets of paths, any of these
// takes from seconds to centuries.
TEST(RegularExpressions, TakeTimeAsLongAsTheTextHoweverTheyAreWritten) {
  const std::string text = std::string(254, 'a') + "b";
  const double begin = processor_seconds();
  for (const char* expression :
       {"^(a+)+$", "^(a|aa|a*)*$", "(a*)*(a*)*(a*)*c", "((a?){20}){20}c", "(.*)(.*)(.*)(.*)[0-9]$",
        "^(([a-z])+.)+[A-Z]([a-z])+$", "((((((((a*)*)*)*)*)*)*)*)*$"})
    for (int name = 0; name < 10; ++name) (void)found(expression, text);
  std::string alternatives = "a*";
  while (alternatives.size() < 400) alternatives += "|(a|a)*b?a";
  for (int name = 0; name < 10; ++name) EXPECT_TRUE(found(alternatives, text));
  EXPECT_LT(processor_seconds() - begin, 5);
}

}  // namespace
}  // namespace berth
