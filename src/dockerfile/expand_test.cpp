// SPDX-License-Identifier: Apache-2.0
// What words are worth. The tables hold what BuildKit makes of the same words, where nothing else is said.
#include "dockerfile/expand.h"

#include <gmock/gmock.h>

#include <map>

namespace berth::dockerfile {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

struct Case {
  const char* word;
  const char* value;
};

std::optional<std::string> variable(std::string_view name) {
  static const std::map<std::string, std::string, std::less<>> variables{{"A", "apple"},
                                                                         {"EMPTY", ""},
                                                                         {"_u1", "under"},
                                                                         {"TWO", "two words"},
                                                                         {"DIR", "/usr/local/lib"},
                                                                         {"FILE", "a.tar.gz"},
                                                                         {"STARS", "x*y*z"},
                                                                         {"SLASH", "b\\n"},
                                                                         {"UTF", "äöü"},
                                                                         {"QUOTED", "\"q\""},
                                                                         {"DOLLAR", "$A"},
                                                                         {"SPACES", "  a  b  "}};
  auto found = variables.find(name);
  return found == variables.end() ? std::nullopt : std::optional(found->second);
}

std::string value_of(std::string_view word, char escape = '\\') {
  Result<std::string> value = expand_word(word, {.lookup = variable, .escape = escape});
  return value ? *value : "error: " + value.error().message;
}

std::string error_of(std::string_view word) {
  Result<std::string> value = expand_word(word, {.lookup = variable});
  return value ? "value: " + *value : value.error().message;
}

constexpr Case kWords[] = {
    {"plain", "plain"},
    {"", ""},
    // names
    {"$A", "apple"},
    {"${A}", "apple"},
    {"$A$A", "appleapple"},
    {"x$A.y", "xapple.y"},
    {"${A}x", "applex"},
    {"$Ax", ""},
    {"$_u1", "under"},
    {"$_u1-", "under-"},
    {"$none", ""},
    {"${none}", ""},
    {"$EMPTY", ""},
    {"$12x", "x"},
    {"$1A", "A"},
    {"$", "$"},
    {"a$", "a$"},
    {"$/x", "$/x"},
    {"$.", "$."},
    {"$$", ""},
    {"$$A", "A"},
    {"$?x", "x"},
    {"$*$#$-$!$@", ""},
    {"$:", "$:"},
    {"$DOLLAR", "$A"},
    // quotes and escapes
    {"'$A'", "$A"},
    {"'a\\b'", "a\\b"},
    {"'a\"b'", "a\"b"},
    {"\"$A\"", "apple"},
    {"\"${A}'s\"", "apple's"},
    {"\"a'$A'b\"", "a'apple'b"},
    {"\"a\\\"b\"", "a\"b"},
    {"\"a\\$A\"", "a$A"},
    {"\"a\\\\b\"", "a\\b"},
    {"\"a\\nb\"", "a\\nb"},
    {"\"a\\'b\"", "a\\'b"},
    {"\"a b\"", "a b"},
    {"''", ""},
    {"\"\"", ""},
    {"a''b\"\"c", "abc"},
    {"'a'\"b\"c", "abc"},
    {"\\$A", "$A"},
    {"\\\\$A", "\\apple"},
    {"\\\\\\$A", "\\$A"},
    {"\\${A}", "${A}"},
    {"\\n", "n"},
    {"\\'a\\'", "'a'"},
    {"\\\"a\\\"", "\"a\""},
    {"a\\ b", "a b"},
    {"$QUOTED", "\"q\""},
    {"$SLASH", "b\\n"},
    {"$TWO", "two words"},
    {"'${A'", "${A"},
    {"'it'\\''s'", "it's"},
    // words in the place of values
    {"${A:-other}", "apple"},
    {"${none:-other}", "other"},
    {"${EMPTY:-other}", "other"},
    {"${A-other}", "apple"},
    {"${none-other}", "other"},
    {"${EMPTY-other}", ""},
    {"${A:+other}", "other"},
    {"${none:+other}", ""},
    {"${EMPTY:+other}", ""},
    {"${A+other}", "other"},
    {"${none+other}", ""},
    {"${EMPTY+other}", "other"},
    {"${A:?message}", "apple"},
    {"${A?message}", "apple"},
    {"${EMPTY?message}", ""},
    {"${none:-}", ""},
    {"${none:-$A}", "apple"},
    {"${none:-${A}}", "apple"},
    {"${none:-${none2:-${A}}}x", "applex"},
    {"${none:-${A:+b}$A}", "bapple"},
    {"${none:-'a}b'}", "a}b"},
    {"${none:-\"a}b\"}", "a}b"},
    {"${none:-a\\}b}", "a}b"},
    {"\"${none:-\"ab\"}\"", "ab"},
    {"\"${none:-'a'}\"", "a"},
    {"${none:-/a/b}", "/a/b"},
    {"${none:-a:b}", "a:b"},
    {"${none:-a-b+c?d}", "a-b+c?d"},
    {"${A:+'$A'}", "$A"},
    {"${none:-{}}", "{}"},
    // taken off at the ends
    {"${DIR#/usr}", "/local/lib"},
    {"${DIR#*/}", "usr/local/lib"},
    {"${DIR##*/}", "lib"},
    {"${DIR%/*}", "/usr/local"},
    {"${DIR%%/*}", ""},
    {"${DIR%lib}", "/usr/local/"},
    {"${DIR#lib}", "/usr/local/lib"},
    {"${FILE%.*}", "a.tar"},
    {"${FILE%%.*}", "a"},
    {"${FILE#*.}", "tar.gz"},
    {"${FILE##*.}", "gz"},
    {"${FILE%.??}", "a.tar"},
    {"${FILE#?}", ".tar.gz"},
    {"${FILE#*}", "a.tar.gz"},
    {"${FILE##*}", ""},
    {"${FILE%*}", "a.tar.gz"},
    {"${FILE%%*}", ""},
    {"${FILE#a.*a}", "r.gz"},
    {"${FILE#x*}", "a.tar.gz"},
    {"${STARS#x\\*}", "y*z"},
    {"${STARS##*\\*}", "z"},
    {"${STARS%\\**}", "x*y"},
    {"${STARS%%\\**}", "x"},
    {"${UTF#?}", "öü"},
    {"${UTF%?}", "äö"},
    {"${UTF%%ö*}", "ä"},
    {"${none#a}", ""},
    {"${A#$A}", ""},
    {"${A%${none:-le}}", "app"},
    {"${A#}", "apple"},
    {"${A##}", "apple"},
    {"${A%%}", "apple"},
    {"${A#[a]}", "apple"},
    {"${A#.}", "apple"},
    {"${A%'le'}", "app"},
    {"${A%\"le\"}", "app"},
    {"\"${DIR##*/}\"", "lib"},
    {"${STARS#'x*'}", "*y*z"},
    {"${STARS##\"x*\"}", ""},
    {"${STARS#x\"\\*\"}", "x*y*z"},
    {"${SLASH#b\\\\}", "n"},
    {"${SLASH#\"b\\\\\"}", "n"},
    {"${DIR#\\/usr}", "/local/lib"},
    {"${A%^e}", "apple"},
    // replaced
    {"${A/p/q}", "aqple"},
    {"${A//p/q}", "aqqle"},
    {"${A/p*/q}", "aq"},
    {"${A//p/}", "ale"},
    {"${A/x/q}", "apple"},
    {"${A/a/q}", "qpple"},
    {"${A/?/q}", "qpple"},
    {"${A//?/q}", "qqqqq"},
    {"${A//*/q}", "q"},
    {"${A/*p/q}", "qle"},
    {"${A//p?/q}", "aqle"},
    {"${DIR//\\//-}", "-usr-local-lib"},
    {"${DIR/\\/usr/x}", "x/local/lib"},
    {"${FILE//./_}", "a_tar_gz"},
    {"${A/p/$_u1}", "aunderple"},
    {"${A/$none/q}", "qapple"},
    {"${A//$none/q}", "qaqpqpqlqeq"},
    {"${EMPTY/$none/q}", "q"},
    {"${EMPTY/*/q}", "q"},
    {"${EMPTY//*/q}", "q"},
    {"${EMPTY/?/q}", ""},
    {"${A/p/\\}}", "a\\}ple"},
    {"${A//p/\\/}", "a\\/\\/le"},
    {"${A/p/'$A'}", "a$Aple"},
    {"${A//p/${none:-\"x\"}}", "axxle"},
    {"${A/pp/}", "ale"},
    {"${A//pp}x/}", "apple"},
    {"${FILE/.*./-}", "a-gz"},
    {"${FILE//.*/-}", "a-"},
    {"${FILE//?./-}", "-ta-gz"},
    {"${UTF//?/x}", "xxx"},
    {"${A/${none:-p}/q}", "aqple"},
    {"${STARS//\\*/+}", "x+y+z"},
    {"${A/p/'a b'}", "aa bple"},
    {"${UTF//ö/o}", "äoü"},
    {"${none/a/b}", ""},
};

TEST(Words, AreWorthWhatBuildKitSays) {
  for (const Case& one : kWords) EXPECT_EQ(value_of(one.word), one.value) << one.word;
}

TEST(Words, AreDividedByBlanksOutsideOfQuotesOnceVariablesHaveTheirValues) {
  auto words = [](std::string_view text) { return *expand_words(text, {.lookup = variable}); };
  EXPECT_THAT(words("a b\tc"), ElementsAre("a", "b", "c"));
  EXPECT_THAT(words("  a  "), ElementsAre("a"));
  EXPECT_THAT(words("$TWO"), ElementsAre("two", "words"));
  EXPECT_THAT(words("x${TWO}y z"), ElementsAre("xtwo", "wordsy", "z"));
  EXPECT_THAT(words("\"$TWO\" '$TWO'"), ElementsAre("two words", "$TWO"));
  EXPECT_THAT(words("a\\ b 'c d'e"), ElementsAre("a b", "c de"));
  EXPECT_THAT(words("[$SPACES]"), ElementsAre("[", "a", "b", "]"));
  EXPECT_THAT(words("${none:-\"a b\"}"), ElementsAre("a", "b"));
  EXPECT_THAT(words("$none '' \"\" $EMPTY"), IsEmpty());
  EXPECT_THAT(words("\"\"a ' '"), ElementsAre("a", " "));
}

TEST(Words, HaveTheEscapeCharacterOfTheFile) {
  EXPECT_EQ(value_of("a\\b$A", '`'), "a\\bapple");
  EXPECT_EQ(value_of("`$A``", '`'), "$A`");
  EXPECT_EQ(value_of("\"`$A\\`\"\"", '`'), "$A\\\"");
  EXPECT_EQ(value_of("C:\\dir\\", '`'), "C:\\dir\\");
  EXPECT_EQ(value_of("${STARS#x`*}", '`'), "y*z");
  EXPECT_EQ(value_of("a\\"), "a");
}

TEST(Words, OfHeredocsKeepTheirQuotes) {
  auto content = [](std::string_view text) { return *expand_heredoc(text, {.lookup = variable}); };
  EXPECT_EQ(content("a='$A' \"${A}\"\nit's\n"), "a='apple' \"apple\"\nit's\n");
  EXPECT_EQ(content("\\$A ${none:-\"x\"} \\n \\\\ \\\"\n"), "$A \"x\" n \\ \"\n");
  EXPECT_EQ(*expand_heredoc("\\$A `$A ``", {.lookup = variable, .escape = '`'}), "$A `apple ``");
}

TEST(Words, ThatAreWrongSayWhyAndWhere) {
  EXPECT_EQ(error_of("a${A"), "syntax error: missing '}' in \"a${A\"");
  EXPECT_EQ(error_of("${A:-x"), "syntax error: missing '}' in \"${A:-x\"");
  EXPECT_EQ(error_of("${"), "syntax error: missing '}' in \"${\"");
  EXPECT_EQ(error_of("${A#x"), "syntax error: missing '}' in \"${A#x\"");
  EXPECT_EQ(error_of("${A/p}"), "syntax error: missing '/' in \"${A/p}\"");
  EXPECT_EQ(error_of("${A/p/q"), "syntax error: missing '}' in \"${A/p/q\"");
  EXPECT_EQ(error_of("'a"), "syntax error: missing ''' in \"'a\"");
  EXPECT_EQ(error_of("\"a$A"), "syntax error: missing '\"' in \"\"a$A\"");
  EXPECT_EQ(error_of("\"a\\\""), "syntax error: missing '\"' in \"\"a\\\"\"");
  for (const char* word : {"${}", "${:-a}", "${{A}}", "${ A}", "${/a/b}"})
    EXPECT_THAT(error_of(word), HasSubstr("bad substitution")) << word;
  for (const char* word : {"${A!}", "${A:}", "${A:/a/b}", "${A:#a}", "${A:=a}", "${A^^}", "${A b}", "${-A}"})
    EXPECT_THAT(error_of(word), HasSubstr("unsupported modifier (")) << word;
  EXPECT_THAT(error_of("${A^^}"), HasSubstr("(^)"));
  EXPECT_LT(error_of("'" + std::string(5000, 'a')).size(), 200u);
  // Nothing of a stranger's text gets through to a terminal.
  EXPECT_THAT(error_of("${A\x1b[2J}"), HasSubstr("(?)"));
  EXPECT_EQ(error_of("${none?\x1b[2J\xff}"), "none: ?[2J?");
  Result<std::string> value = expand_word("${A", {.lookup = variable});
  EXPECT_EQ(value.error().kind, ErrorKind::invalid);
}

TEST(Words, ThatAreRequiredSayTheirMessage) {
  EXPECT_EQ(error_of("${none:?say \"$A\"}"), "none: say apple");
  EXPECT_EQ(error_of("${none?}"), "none: a value is required");
  EXPECT_EQ(error_of("${EMPTY:?}"), "EMPTY: a value that is not empty is required");
  // Also where it is the word of another that has a value.
  EXPECT_EQ(error_of("${A:-${none:?deep}}"), "none: deep");
}

TEST(Words, TellWhichVariablesTheyUse) {
  std::set<std::string> used, unset;
  Expansion expansion{.lookup = variable, .used = &used, .unset = &unset};
  ASSERT_TRUE(expand_word("$A ${b} '$c' \\$d ${e:-$f} ${g:+x} ${h#$i} \"$EMPTY\"", expansion));
  EXPECT_THAT(used, ElementsAre("A", "EMPTY", "b", "e", "f", "g", "h", "i"));
  EXPECT_THAT(unset, ElementsAre("b", "f", "h", "i"));
  EXPECT_EQ(*expand_word("[$A]", {}), "[]");
}

TEST(Words, AreBoundedInDepthAndSize) {
  auto nested = [](int depth) {
    std::string word;
    for (int level = 0; level < depth; ++level) word += "${none:-";
    return word + "x" + std::string(static_cast<std::size_t>(depth), '}');
  };
  EXPECT_EQ(value_of(nested(kDeepest)), "x");
  EXPECT_THAT(error_of(nested(kDeepest + 1)), HasSubstr("nested deeper than 32"));
  EXPECT_THAT(error_of(nested(100'000)), HasSubstr("nested deeper than 32"));

  const std::string large(kLongestExpansion / 2, 'a');
  Expansion expansion{.lookup = [&](std::string_view) { return std::optional(large); }};
  EXPECT_TRUE(expand_word("$a$a", expansion));
  for (const char* word : {"$a${a}b", "\"$a$a$a\"", "${a+$a$a$a}", "${a//a/aaa}"}) {
    Result<std::string> value = expand_word(word, expansion);
    ASSERT_FALSE(value) << word;
    EXPECT_EQ(value.error().kind, ErrorKind::exhausted) << word;
  }
  EXPECT_FALSE(expand_words("$a $a $a", expansion));
  EXPECT_FALSE(expand_word(large + large + "a", expansion));
}

// Without a bound the last ones would take hours.
TEST(Words, AreBoundedInTime) {
  const std::string large(kLongestExpansion / 2, 'a');
  Expansion expansion{.lookup = [&](std::string_view) { return std::optional(large); }};
  std::string stars, thrown_away;
  for (int number = 0; number < 10'000; ++number) {
    stars += "*a?a";
    thrown_away += "${x#$x}${x%%$x$x}";
  }
  for (const std::string& word : {"${x##" + stars + "b}", "${x%%b" + stars + "}", "${x//" + stars + "b/c}"})
    EXPECT_EQ(expand_word(word, expansion).value_or(""), large) << word.substr(0, 30);
  const std::string late = std::string(100'000, 'a') + "b";
  for (const std::string& word :
       {"${x##*" + late + "}", "${x#*" + late + "}", "${x%b" + late.substr(0, late.size() - 1) + "*}",
        "${x//" + late + "/c}", thrown_away}) {
    Result<std::string> value = expand_word(word, expansion);
    EXPECT_TRUE(!value && value.error().kind == ErrorKind::exhausted) << word.substr(0, 30);
  }
}

}  // namespace
}  // namespace berth::dockerfile
