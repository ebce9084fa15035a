// SPDX-License-Identifier: Apache-2.0
#include "api/respond.h"

#include <gmock/gmock.h>
#include <time.h>

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

Result<NameFilter> names(std::vector<std::string> wanted) {
  Filters filters{{"name", std::move(wanted)}, {"label", {"a"}}};
  Result<NameFilter> filter = NameFilter::take_out_of(filters);
  EXPECT_TRUE(!filter || filters == Filters({{"label", {"a"}}}));
  return filter;
}
bool name_matches(std::string_view name, const std::string& wanted) {
  return names({wanted}).value().matches(name);
}

TEST(Filters, ANameIsLookedForAsARegularExpression) {
  for (const char* wanted : {"web", "we", "eb", "^web", "web$", "^web$", "w.b", "^w.*$", "^(web|db)$",
                             "^/?web$", "[a-z]+", "", "^[^0-9]*$", "we{1}b"})
    EXPECT_TRUE(name_matches("web", wanted)) << wanted;
  for (const char* wanted : {"webs", "^eb", "we$", "^we$", "^/web$", "WEB", "w..b", "[", "(", "*", "we{2}b"})
    EXPECT_FALSE(name_matches("web", wanted)) << wanted;
  EXPECT_TRUE(name_matches("/web", "^/web$"));
  EXPECT_TRUE(name_matches("a.b", "a\\.b"));
  EXPECT_FALSE(name_matches("a-b", "a\\.b"));
  EXPECT_TRUE(names({}).value().matches("web"));
  EXPECT_TRUE(names({"db", "web"}).value().matches("web"));
  EXPECT_FALSE(names({"db", "mail"}).value().matches("web"));
  EXPECT_TRUE(
      names(std::vector<std::string>(1000, std::string(64, 'a'))).value().matches(std::string(65, 'a')));
}

// A client alone must not keep the engine busy. Processor time, which other load does not stretch.
TEST(Filters, HostileExpressionsTakeNeitherTimeNorTheStack) {
  timespec begin{}, end{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &begin);
  std::vector<std::string> hostile;
  for (int number = 0; number < 20; ++number) {
    std::string one;
    while (one.size() < 240) one += number % 2 == 0 ? "(.*)" : "(a|aa|a*)*a?";
    hostile.push_back(one + std::to_string(number) + "$");
  }
  int answered = 0;
  for (std::size_t count = 1; count <= hostile.size(); ++count) {
    Result<NameFilter> filter =
        names({hostile.begin(), hostile.begin() + static_cast<std::ptrdiff_t>(count)});
    if (!filter) {
      EXPECT_THAT(filter.error().message, HasSubstr("too large"));
      continue;
    }
    ++answered;
    for (char volume = 'a'; volume <= 'j'; ++volume)
      EXPECT_FALSE(filter->matches(std::string(254, 'a') + volume));
  }
  EXPECT_GT(answered, 0);
  EXPECT_FALSE(names({"((((a{0,99}){0,99}){0,99}){0,99})x"}));
  EXPECT_FALSE(name_matches("web", std::string(100'000, '(')));
  EXPECT_FALSE(name_matches("web", std::string(120, '(') + "x*" + std::string(120, ')') + "y"));
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &end);
  EXPECT_LT(end.tv_sec - begin.tv_sec, 5);
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
