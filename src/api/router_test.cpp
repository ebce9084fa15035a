// SPDX-License-Identifier: Apache-2.0
#include "api/router.h"

#include <gmock/gmock.h>

#include "api/api.h"

namespace berth::api {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;

using Captured = std::map<std::string, std::string>;

// A handler that is only looked at.
struct Route {
  std::string name;
  Result<void> operator()(Call&) const { return {}; }
};

class RouterTest : public testing::Test {
 protected:
  RouterTest() {
    for (auto [method, pattern] : std::initializer_list<std::pair<std::string_view, std::string_view>>{
             {"GET", "/containers/json"},
             {"GET", "/containers/{id}/json"},
             {"POST", "/containers/{id}/start"},
             {"DELETE", "/containers/{id}"},
             {"GET", "/images/{name...}/json"},
             {"GET", "/images/json"},
             {"DELETE", "/images/{name...}"}})
      router_.add(method, pattern, Route{std::string(method) + " " + std::string(pattern)});
  }

  // The pattern that answers; "" when none does.
  std::string answers(std::string_view method, std::string_view path) {
    captured_.clear();
    const Handler* handler = router_.find(method, path, captured_);
    if (!handler) return "";
    return handler->target<Route>()->name;
  }

  Router router_;
  Captured captured_;
};

TEST_F(RouterTest, FixedPartsComeBeforeNames) {
  EXPECT_EQ(answers("GET", "/containers/json"), "GET /containers/json");
  EXPECT_THAT(captured_, IsEmpty());
  EXPECT_EQ(answers("GET", "/containers/web/json"), "GET /containers/{id}/json");
  EXPECT_THAT(captured_, ElementsAre(Pair("id", "web")));
}

TEST_F(RouterTest, NamesOfImagesMayHaveSlashes) {
  EXPECT_EQ(answers("GET", "/images/host.x:5000/a/b:1/json"), "GET /images/{name...}/json");
  EXPECT_THAT(captured_, ElementsAre(Pair("name", "host.x:5000/a/b:1")));
  EXPECT_EQ(answers("GET", "/images/json/json"), "GET /images/{name...}/json");
  EXPECT_THAT(captured_, ElementsAre(Pair("name", "json")));
  EXPECT_EQ(answers("DELETE", "/images/a/json"), "DELETE /images/{name...}");
}

TEST_F(RouterTest, NamesAreDecodedAfterThePathIsTakenApart) {
  EXPECT_EQ(answers("GET", "/containers/a%2Fb%20c/json"), "GET /containers/{id}/json");
  EXPECT_THAT(captured_, ElementsAre(Pair("id", "a/b c")));
}

TEST_F(RouterTest, HeadIsGetWithoutABody) {
  EXPECT_EQ(answers("HEAD", "/containers/json"), "GET /containers/json");
  EXPECT_EQ(answers("HEAD", "/containers/web/start"), "");
}

TEST_F(RouterTest, NothingAnswersAnUnknownPathOrMethod) {
  EXPECT_EQ(answers("GET", "/nonsense"), "");
  EXPECT_EQ(answers("GET", "/containers/web/start/now"), "");
  EXPECT_EQ(answers("PUT", "/containers/web/start"), "");
  EXPECT_EQ(answers("GET", "/containers/%zz/json"), "");
}

TEST(Version, IsTakenOffThePath) {
  std::string_view path = "/v1.44/containers/json";
  EXPECT_EQ(take_version(path).value(), 44);
  EXPECT_EQ(path, "/containers/json");
  path = "/v1.24";
  EXPECT_EQ(take_version(path).value(), 24);
  EXPECT_EQ(path, "");
}

TEST(Version, IsTheNewestWhereThePathHasNone) {
  for (std::string_view path : {"/containers/json", "/volumes", "/v", "/", ""}) {
    const std::string_view before = path;
    EXPECT_EQ(take_version(path).value(), kNewestVersion) << before;
    EXPECT_EQ(path, before);
  }
}

TEST(Version, OutOfRangeIsSaidInWordsThatClientsKnow) {
  for (std::string_view path : {"/v1.52/x", "/v2.0/x", "/v9.99/x"})
    EXPECT_THAT(take_version(path).error().message,
                HasSubstr("is too new. Maximum supported API version is 1.51"));
  for (std::string_view path : {"/v1.23/x", "/v0.1/x"})
    EXPECT_THAT(take_version(path).error().message,
                HasSubstr("is too old. Minimum supported API version is 1.24"));
}

}  // namespace
}  // namespace berth::api
