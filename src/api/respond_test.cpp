// SPDX-License-Identifier: Apache-2.0
#include "api/respond.h"

#include <gmock/gmock.h>

namespace berth::api {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;

TEST(Filters, ComeAsListsAndAsObjects) {
  EXPECT_THAT(parse_filters(R"({"label":["a=b","c"],"status":["exited"]})").value(),
              ElementsAre(Pair("label", ElementsAre("a=b", "c")), Pair("status", ElementsAre("exited"))));
  EXPECT_THAT(parse_filters(R"({"label":{"a=b":true,"c":false}})").value(),
              ElementsAre(Pair("label", ElementsAre("a=b"))));
  EXPECT_THAT(parse_filters("").value(), IsEmpty());
  EXPECT_THAT(parse_filters("{}").value(), IsEmpty());
}

TEST(Filters, OfAnotherFormAreRefused) {
  for (std::string_view text : {"[]", "null", "{", "\"label\"", R"({"label":"a"})", R"({"label":7})"}) {
    Result<Filters> filters = parse_filters(text);
    ASSERT_FALSE(filters) << text;
    EXPECT_EQ(filters.error().kind, ErrorKind::invalid);
    EXPECT_THAT(filters.error().message, HasSubstr("invalid filter"));
  }
}

TEST(Filters, ANameIsLookedForAsARegularExpression) {
  for (const char* wanted : {"web", "we", "eb", "^web", "web$", "^web$", "w.b", "^w.*$", "^(web|db)$",
                             "^/?web$", "[a-z]+", "", "^[^0-9]*$"})
    EXPECT_TRUE(name_matches("web", wanted)) << wanted;
  for (const char* wanted : {"webs", "^eb", "we$", "^we$", "^/web$", "WEB", "w..b", "[", "(", "*", "we{1}b"})
    EXPECT_FALSE(name_matches("web", wanted)) << wanted;
  EXPECT_TRUE(name_matches("/web", "^/web$"));
  EXPECT_TRUE(name_matches("a.b", "a\\.b"));
  EXPECT_FALSE(name_matches("a-b", "a\\.b"));
}

TEST(Filters, AHostileExpressionTakesNeitherTimeNorTheStack) {
  const std::string name = std::string(254, 'a') + "b";
  EXPECT_FALSE(name_matches(name, "^(a+)+$"));
  EXPECT_FALSE(name_matches(name, "^(a|aa|a*)*$"));
  EXPECT_FALSE(name_matches("web", "((((a{0,99}){0,99}){0,99}){0,99})x"));
  EXPECT_FALSE(name_matches("web", std::string(100'000, '(')));
  EXPECT_FALSE(name_matches("web", std::string(120, '(') + "x*" + std::string(120, ')') + "y"));
}

TEST(Filters, OfAnUnknownNameAreRefusedByIt) {
  EXPECT_TRUE(check_filter_names({{"label", {"a"}}}, {"label", "status"}));
  EXPECT_EQ(check_filter_names({{"lable", {"a"}}}, {"label"}).error().message, "invalid filter 'lable'");
}

TEST(Labels, MatchByNameAndByValueAndAllOfThem) {
  const std::map<std::string, std::string> labels = {{"a", "b=c"}, {"empty", ""}};
  EXPECT_TRUE(labels_match(labels, {}));
  EXPECT_TRUE(labels_match(labels, {"a", "a=b=c", "empty="}));
  EXPECT_FALSE(labels_match(labels, {"a=b"}));
  EXPECT_FALSE(labels_match(labels, {"a", "missing"}));
  EXPECT_FALSE(labels_match(labels, {"missing="}));
}

TEST(Frame, HasTheStreamAndALengthInBigEndian) {
  std::string out = "before";
  append_frame(out, 2, std::string(0x010203, 'x'));
  EXPECT_EQ(out.substr(0, 14), std::string("before\2\0\0\0\0\1\2\3", 14));
  EXPECT_EQ(out.size(), 14u + 0x010203);
}

TEST(Status, OfEachKindIsWhatDockersClientsExpect) {
  EXPECT_EQ(status_of(ErrorKind::invalid), 400);
  EXPECT_EQ(status_of(ErrorKind::unauthenticated), 401);
  EXPECT_EQ(status_of(ErrorKind::denied), 403);
  EXPECT_EQ(status_of(ErrorKind::not_found), 404);
  EXPECT_EQ(status_of(ErrorKind::conflict), 409);
  EXPECT_EQ(status_of(ErrorKind::not_modified), 304);
  EXPECT_EQ(status_of(ErrorKind::exhausted), 500);
}

TEST(HumanDuration, IsSaidAsDockerSaysIt) {
  const std::pair<std::chrono::nanoseconds, std::string_view> cases[] = {
      {milliseconds(900), "Less than a second"},
      {seconds(1), "1 second"},
      {seconds(59), "59 seconds"},
      {seconds(60), "About a minute"},
      {minutes(2), "2 minutes"},
      {minutes(59), "59 minutes"},
      {hours(1), "About an hour"},
      {hours(2), "2 hours"},
      {hours(47), "47 hours"},
      {hours(48), "2 days"},
      {hours(24 * 13), "13 days"},
      {hours(24 * 14), "2 weeks"},
      {hours(24 * 59), "8 weeks"},
      {hours(24 * 60), "2 months"},
      {hours(24 * 729), "24 months"},
      {hours(24 * 730), "2 years"},
  };
  for (const auto& [duration, text] : cases) EXPECT_EQ(human_duration(duration), text);
}

}  // namespace
}  // namespace berth::api
