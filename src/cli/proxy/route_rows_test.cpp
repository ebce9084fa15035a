// SPDX-License-Identifier: Apache-2.0
#include "cli/proxy/route_rows.h"

#include <gmock/gmock.h>

#include "base/json.h"

namespace berth::cli {
namespace {

std::string backend(std::string_view word) {
  const Result<json::object> made = backend_of_word(word);
  return made ? json::serialize(*made) : made.error().message;
}

TEST(RouteRows, ReadBackendsAsTheyAreTyped) {
  EXPECT_EQ(backend("http://h:80"), R"({"url":"http://h:80","weight":1})");
  EXPECT_EQ(backend("h:80=3"), R"({"url":"http://h:80","weight":3})");
  EXPECT_EQ(backend("https://[::1]:443/path=0"), R"({"url":"https://[::1]:443/path","weight":0})");
  EXPECT_EQ(backend("http://h/a=b=7"), R"({"url":"http://h/a=b","weight":7})");
}

TEST(RouteRows, RefuseWeightsThatAreNone) {
  for (const char* word :
       {"http://h=", "http://h=heavy", "http://h=-1", "http://h=1.5", "http://h=99999999999"})
    EXPECT_THAT(backend(word), testing::HasSubstr("no weight")) << word;
  EXPECT_THAT(backend("=5"), testing::HasSubstr("no address"));
  EXPECT_THAT(backend(""), testing::HasSubstr("no address"));
}

TEST(RouteRows, NameOptionsThatTheyDoNotKnow) {
  const json::value route = json::parse(
      R"({"host":"h","source":"admin","id":"x","backends":[],"sticky":true,"off":false,"none":null,
          "balance":"hash","health":{"path":"/up"},"limit":5,"rules":[1,2]})");
  EXPECT_EQ(options_of_route(route), "balance=hash, health=/up, limit=5, rules, sticky");
}

TEST(RouteRows, LeaveNothingForATerminalToObey) {
  const json::value route = json::parse(
      R"({"host":"h\u001b[2J","source":"\u001b]0;x\u0007","id":"\r\n\u202ei","backends":[{"url":"\u001b[31m"}],
          "health":{"path":"/\u001b[2J"}})");
  std::string all = describe_why("u\033[2J", json::object{{"route", route}, {"because", "b\033[2J"}});
  for (const json::key_value_pair& member : route_row(route)) all += std::string(member.value().get_string());
  EXPECT_EQ(all.find('\033'), std::string::npos);
  EXPECT_EQ(all.find('\a'), std::string::npos);
  EXPECT_EQ(all.find("\u202e"), std::string::npos);
}

}  // namespace
}  // namespace berth::cli
