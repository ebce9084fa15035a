// SPDX-License-Identifier: Apache-2.0
#include "cli/build/call.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/json.h"
#include "base/text.h"
#include "cli/build/flags.h"

namespace berth::cli {
namespace {

using testing::HasSubstr;
using testing::Not;

Result<BuildCall> chosen(std::vector<std::string> arguments) {
  const Parsed parsed = parse_flags(kBuildFlags, arguments, true).value();
  return chosen_call(parsed.flags);
}

json::value with_warning(std::string_view source, int line, int last, std::string_view text = "why") {
  return {
      {"warnings",
       json::array{json::object{
           {"ruleName", "SomeRule"},
           {"detail", text},
           {"location",
            json::object{{"sourceIndex", 0},
                         {"ranges", json::array{json::object{{"start", json::object{{"line", line}}},
                                                             {"end", json::object{{"line", last}}}}}}}}}}},
      {"sources", json::array{json::object{{"fileName", "Dockerfile"}, {"data", to_base64(source)}}}}};
}

TEST(BuildCallFlags, NamesAndFields) {
  EXPECT_TRUE(chosen({})->builds());
  EXPECT_EQ(chosen({"--check"})->name, "check");
  EXPECT_EQ(chosen({"--call", "lint"})->name, "check");
  EXPECT_EQ(chosen({"--call=outline,format=json"})->name, "outline");
  EXPECT_TRUE(chosen({"--call=outline,format=json"})->json);
  EXPECT_TRUE(chosen({"--check", "--call=check,ignorestatus=true"})->ignores_status);
  EXPECT_FALSE(chosen({"--call=odd"}));
  EXPECT_FALSE(chosen({"--call=check,format=odd"}));
  EXPECT_FALSE(chosen({"--check", "--call=targets"}));
}

TEST(BuildCallText, AWarningIsShownWithItsLines) {
  const json::value document = with_warning("one\ntwo\nthree\nfour\nfive\nsix\n", 3, 4);
  EXPECT_EQ(
      call_text({.name = "check"}, document),
      "Check complete, 1 warning has been found!\n\n"
      "WARNING: SomeRule\nwhy\nDockerfile:3\n--------------------\n"
      "   1 |     one\n   2 |     two\n   3 | >>> three\n   4 | >>> four\n   5 |     five\n   6 |     six\n"
      "--------------------\n");
  EXPECT_EQ(call_status({.name = "check"}, document), 1);
  EXPECT_EQ(call_status({.name = "check", .ignores_status = true}, document), 0);
}

TEST(BuildCallText, NoWarningsAreSaidToBeNone) {
  const json::value document{{"warnings", json::array{}}};
  EXPECT_EQ(call_text({.name = "check"}, document), "Check complete, no warnings found.\n");
  EXPECT_EQ(call_status({.name = "check"}, document), 0);
}

TEST(BuildCallText, HostileDocumentsAreShownHarmlessly) {
  const std::string text =
      call_text({.name = "check"}, with_warning("\x1b[2J\xffx\r\n", 1, 1'000'000'000, "\x1b]0;t\aw"));
  EXPECT_THAT(text, Not(HasSubstr("\x1b")));
  EXPECT_TRUE(valid_utf8(text));
  EXPECT_LT(text.size(), 500u);
  (void)call_text({.name = "check"}, with_warning("x", -5, -9));
  (void)call_text({.name = "check"}, with_warning("x", 77, 78));
  (void)call_text({.name = "check"}, json::value{{"warnings", json::array{1, "x", nullptr}}});
}

TEST(BuildCallText, OutlinesAndTargetsAreTables) {
  const json::value outline = json::parse(R"({"name": "app", "description": "the app",
    "args": [{"name": "V", "value": "1", "description": "which"}], "secrets": [{"name": "k", "required": true}],
    "ssh": [{"name": "default"}]})");
  EXPECT_EQ(call_text({.name = "outline"}, outline),
            "TARGET:      app\nDESCRIPTION: the app\n\nBUILD ARG   VALUE     DESCRIPTION\n"
            "V           1         which\n\nSECRET    REQUIRED\nk         true\n\nSSH       "
            "REQUIRED\ndefault   \n");
  const json::value targets = json::parse(
      R"({"targets": [{"name": "build", "description": "makes"}, {"name": "1", "default": true}]})");
  EXPECT_EQ(call_text({.name = "targets"}, targets),
            "TARGET        DESCRIPTION\nbuild         makes\n1 (default)   \n");
  EXPECT_THAT(call_text({.name = "targets", .json = true}, targets), HasSubstr("\n  \"targets\": ["));
}

TEST(BuildCallText, ABuildSaysAWarningInALine) {
  const json::value document = with_warning("one\n", 1, 1);
  EXPECT_EQ(warnings_of(document, false).shown,
            "\n 1 warning found (use --debug to expand):\n - SomeRule: why (line 1)\n");
  EXPECT_THAT(warnings_of(document, true).shown, HasSubstr("   1 | >>> one"));
  const WarningEvent event = warnings_of(document, true);
  ASSERT_EQ(event.list.size(), 1u);
  EXPECT_EQ(event.list[0].text, "SomeRule: why");
  EXPECT_EQ(event.list[0].file, "Dockerfile");
  EXPECT_EQ(event.list[0].first_line, 1);
  EXPECT_EQ(warnings_of(json::object{}, false).shown, "");
}

}  // namespace
}  // namespace berth::cli
