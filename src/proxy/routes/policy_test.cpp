// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include <thread>

#include "base/json.h"
#include "proxy/routes/paths.h"
#include "proxy/routes/route_json.h"

namespace berth::proxy {
namespace {

using testing::HasSubstr;
using testing::Not;

RouteRef made(const std::string& document) {
  static Endpoints endpoints;
  const Result<RouteRef> route = parse_route("a.test", document, endpoints);
  EXPECT_TRUE(route) << (route ? "" : route.error().message);
  return route ? *route : nullptr;
}

std::string refusal(const std::string& more) {
  Endpoints endpoints;
  const Result<RouteRef> route =
      parse_route("a.test", R"({"backends": ["http://127.0.0.1:1"], )" + more + "}", endpoints);
  return route ? "taken" : route.error().message;
}

const AddressBytes kOne = parse_address("192.0.2.1").value(), kTwo = parse_address("192.0.2.2").value();

TEST(RequestLimiter, LetsABurstThroughAndThenOneEachInterval) {
  RequestLimiter limiter({.per_second = 10, .burst = 3});
  const std::int64_t start = 1'000'000'000;
  for (int count = 0; count < 3; ++count) EXPECT_EQ(limiter.ask(kOne, start), 0);
  EXPECT_EQ(limiter.ask(kOne, start), 100'000);
  EXPECT_EQ(limiter.ask(kOne, start + 99'999), 1);
  EXPECT_EQ(limiter.ask(kOne, start + 100'000), 0);
  EXPECT_GT(limiter.ask(kOne, start + 100'000), 0);
  for (int count = 0; count < 3; ++count) EXPECT_EQ(limiter.ask(kOne, start + 10'000'000), 0);
  EXPECT_GT(limiter.ask(kOne, start + 10'000'000), 0);
}

TEST(RequestLimiter, CountsEachClientByItselfAndAnIpv6NetworkAsOne) {
  RequestLimiter limiter({.per_second = 1, .burst = 1});
  EXPECT_EQ(limiter.ask(kOne, 5), 0);
  EXPECT_EQ(limiter.ask(kTwo, 5), 0);
  EXPECT_GT(limiter.ask(kOne, 6), 0);
  EXPECT_EQ(limiter.ask(parse_address("2001:db8::1").value(), 6), 0);
  EXPECT_GT(limiter.ask(parse_address("2001:db8::ffff").value(), 6), 0);
  EXPECT_EQ(limiter.ask(parse_address("2001:db8:0:1::1").value(), 6), 0);
}

TEST(RequestLimiter, ARouteAsAWholeHasOneRate) {
  RequestLimiter limiter({.per_second = 1, .burst = 2, .each_client = false});
  EXPECT_EQ(limiter.ask(kOne, 5), 0);
  EXPECT_EQ(limiter.ask(kTwo, 5), 0);
  EXPECT_GT(limiter.ask(parse_address("::1").value(), 5), 0);
}

TEST(RequestLimiter, FewOfManyClientsAreForgotten) {
  RequestLimiter limiter({.per_second = 0.01, .burst = 1});
  int passed = 0;
  for (int round = 0; round < 2; ++round)
    for (int client = 0; client < 4000; ++client) {
      AddressBytes address = kOne;
      address[14] = static_cast<std::uint8_t>(client >> 8);
      address[15] = static_cast<std::uint8_t>(client);
      passed += limiter.ask(address, 1000 + round) == 0;
    }
  EXPECT_GE(passed, 3900);  // two of 65,536 marks may be one
  EXPECT_LE(passed, 4400);
}

TEST(RequestLimiter, ThreadsTogetherGetWhatThereIsAndNoMore) {
  RequestLimiter limiter({.per_second = 0.001, .burst = 1000, .each_client = false});
  std::atomic<int> passed{0};
  std::vector<std::thread> threads;
  for (int count = 0; count < 3; ++count)
    threads.emplace_back([&] {
      for (int ask = 0; ask < 2000; ++ask) passed += limiter.ask(kOne, 77) == 0;
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(passed.load(), 1000);
}

TEST(RetryBudget, APartOfTheRequestsAndAFewBeyond) {
  RetryBudget budget;
  int retries = 0;
  while (budget.retry()) ++retries;
  EXPECT_EQ(retries, 10);
  for (int count = 0; count < 100; ++count) budget.request(20);
  for (retries = 0; budget.retry();) ++retries;
  EXPECT_EQ(retries, 20);
  for (int count = 0; count < 100'000; ++count) budget.request(20);
  for (retries = 0; budget.retry();) ++retries;
  EXPECT_EQ(retries, 100);
}

const std::string kPaths = R"({"backends": ["http://127.0.0.1:1"], "paths": {
  "/api": {"backends": ["http://127.0.0.1:2"]},
  "/api/admin/": {"deny": ["0.0.0.0/0"]},
  "/.well-known": {}}})";

std::string path_for(const RouteRef& route, std::string_view target) {
  const RouteRef* found = route_of_path(route, target);
  return found ? (*found)->path : "ambiguous";
}

TEST(Paths, TheLongestHoldsForItselfAndAllBelow) {
  const RouteRef route = made(kPaths);
  for (const auto& [target, path] : std::initializer_list<std::pair<std::string_view, std::string_view>>{
           {"/", ""},
           {"/api", "/api"},
           {"/api/", "/api"},
           {"/api?x=/api/admin", "/api"},
           {"/api/v1/x", "/api"},
           {"/apix", ""},
           {"/api.json", ""},
           {"/api/admin", "/api/admin"},
           {"/api/admin/users?x", "/api/admin"},
           {"/api/administrator", "/api"},
           {"/.well-known/x", "/.well-known"},
           {"*", ""}})
    EXPECT_EQ(path_for(route, target), path) << target;
}

// Whoever reads such a path with more goodwill than this proxy would serve what another route guards.
TEST(Paths, WhatIsAnotherRoutesForAnotherReaderIsAmbiguous) {
  const RouteRef route = made(kPaths);
  for (const std::string_view target : {"/api/../",        "/x/../api/admin",
                                        "/api/x/../admin", "/api//admin",
                                        "//api/admin",     "/api/./admin",
                                        "/%61pi/admin",    "/api/%61dmin",
                                        "/api%2fadmin",    "/api/x%2f..%2fadmin",
                                        "/api\\admin",     "/api/admin;x=1/users",
                                        "/api;x/admin",    "/api/%2e%2e/",
                                        "/api/admin/..",   "/api/admin%2f..%2fx",
                                        "/api/%2e/admin",  "/./api",
                                        "/api/admin%3fx",  "/API",
                                        "/api/Admin/x",    "/%41pi",
                                        "/x%00y"})
    EXPECT_EQ(path_for(route, target), "ambiguous") << target;
}

// What a step upwards takes away depends on what counts as a part: to some "/api//admin/.." is "/api//", to
// others "/api".
TEST(Paths, WhereThereArePathsNothingGoesUp) {
  const RouteRef route = made(kPaths);
  for (const std::string_view target :
       {"/static//x/../y", "/api/x/../y", "/x/../api/admin//../secret", "/x/../api/admin/..;/y",
        "/x/../api/admin/..\\y", "/x/../api/admin/%2e%2e/y", "/x/..", "/x/%2E%2e", "/x\\..\\y", "/x/..;z"})
    EXPECT_EQ(path_for(route, target), "ambiguous") << target;
  EXPECT_EQ(path_for(route, "/x/..y"), "");
  EXPECT_EQ(path_for(route, "/x?y=/../z"), "");
}

TEST(Paths, WhatIsTheSameRoutesForEveryReaderPasses) {
  const RouteRef route = made(kPaths);
  EXPECT_EQ(path_for(route, "/api/a%20b"), "/api");
  EXPECT_EQ(path_for(route, "/api/@scope%2fname"), "/api");
  EXPECT_EQ(path_for(route, "/static//x/y"), "");
  EXPECT_EQ(path_for(route, "/api/%zz"), "/api");
  EXPECT_EQ(path_for(made(R"({"backends": ["http://127.0.0.1:1"]})"), "/a/../b"), "");
}

TEST(Paths, ResolvedAsTheMostObligingServerDoes) {
  EXPECT_EQ(resolved_path("/a/../%62;x//c?q=/.."), "/b/c");
  EXPECT_EQ(resolved_path("/../../x"), "/x");
  EXPECT_EQ(resolved_path("/"), "/");
  EXPECT_EQ(resolved_path("/a/."), "/a");
  EXPECT_EQ(resolved_path("/%"), "/%");
}

TEST(Policy, APathHasWhatItsHostHasUnlessItSaysOtherwise) {
  const RouteRef route = made(R"({"backends": ["http://127.0.0.1:1"], "sticky": true, "deny": ["10.0.0.0/8"],
    "canary": {"backends": ["http://127.0.0.1:3"], "percent": 10},
    "paths": {"/open": {"deny": null}, "/other": {"backends": ["http://127.0.0.1:2"], "sticky": false}}})");
  const Route& other = **route_of_path(route, "/other");
  EXPECT_EQ(other.policy->denied.size(), 1u);
  EXPECT_FALSE(other.options.sticky);
  EXPECT_FALSE(other.policy->first_canary);  // a new version of other backends
  ASSERT_EQ(other.backends.size(), 1u);
  EXPECT_EQ(other.backends[0].url, "http://127.0.0.1:2");
  const Route& open = **route_of_path(route, "/open");
  EXPECT_TRUE(open.policy->denied.empty());
  EXPECT_TRUE(open.options.sticky);
  EXPECT_EQ(open.backends.size(), 2u);
}

TEST(Policy, MostRoutesHaveNone) {
  EXPECT_EQ(made(R"({"backends": ["http://127.0.0.1:1"], "sticky": true, "deny": null})")->policy, nullptr);
}

TEST(Policy, WhatIsCountedOutlivesAChangeOfTheRoute) {
  const std::string limited = R"({"backends": ["http://127.0.0.1:1"], "limits": {"requests_per_second": 1}})";
  Endpoints endpoints;
  const RouteRef before = parse_route("a.test", limited, endpoints).value();
  EXPECT_EQ(parse_route("a.test", limited, endpoints).value()->policy->state, before->policy->state);
  EXPECT_NE(parse_route("b.test", limited, endpoints).value()->policy->state, before->policy->state);
}

TEST(Policy, WhatIsReadIsWrittenAndReadAgain) {
  const std::string document = R"({"backends": ["http://127.0.0.1:1"], "redirect_https": {"port": 8443},
    "paths": {"/api": {"strip_path": true, "limits": {"body_bytes": 10}}},
    "basic_auth": {"users": {"alice": "$6$aaaaaaaaaaaaaaaaaaaaaaaaaa"}}, "maintenance": {"retry_after": 5}})";
  const RouteRef route = made(document);
  const RouteRef again = made(format_route(*route));
  EXPECT_EQ(again->policy->redirect->port, 8443);
  EXPECT_EQ(again->policy->maintenance->retry_after, 5u);
  ASSERT_EQ(again->policy->paths.size(), 1u);
  EXPECT_TRUE(again->policy->paths[0]->policy->strips_path);
  EXPECT_FALSE(again->policy->strips_path);
  EXPECT_EQ(again->policy->paths[0]->policy->limits.body, 10u);
  EXPECT_EQ(again->policy->authentication->users.size(), 1u);
}

TEST(Policy, WhatIsShownOfPathsIsThereOnce) {
  const RouteRef route = made(R"({"backends": ["http://127.0.0.1:1"], "paths": {"/a/": {}, "/b": {}}})");
  const json::object shown = describe_route(*route);
  const json::object& paths = shown.at("paths").get_object();
  EXPECT_EQ(paths.size(), 2u);
  EXPECT_TRUE(paths.contains("/a"));
  EXPECT_NE(made(json::serialize(shown)), nullptr);
}

TEST(Policy, HashesOfPasswordsAreNotShown) {
  const RouteRef route = made(R"({"backends": ["http://127.0.0.1:1"], "paths": {"/a": {}},
    "basic_auth": {"users": {"alice": "$6$secretsecretsecretsecret"}}})");
  const std::string shown = json::serialize(describe_route(RouteBook::Found{route, Source::admin}));
  EXPECT_THAT(shown, HasSubstr("alice"));
  EXPECT_THAT(shown, Not(HasSubstr("secret")));
  EXPECT_THAT(format_route(*route), HasSubstr("secret"));
}

TEST(Policy, WhatIsWrongIsRefusedByName) {
  EXPECT_THAT(refusal(R"("basic_atuh": {})"), HasSubstr("\"basic_atuh\""));
  EXPECT_THAT(refusal(R"("allow": [])"), HasSubstr("allow is empty"));
  EXPECT_THAT(refusal(R"("deny": ["10.0.0.0/99"])"), HasSubstr("10.0.0.0/99"));
  EXPECT_THAT(refusal(R"("basic_auth": {"users": {"a": "plain"}})"), HasSubstr("crypt(3)"));
  EXPECT_THAT(refusal(R"("basic_auth": {"users": {}})"), HasSubstr("users"));
  EXPECT_THAT(refusal(R"("limits": {"requests_per_second": 0})"), HasSubstr("requests_per_second"));
  EXPECT_THAT(refusal(R"("limits": {"requests_per_second": 1, "by": "moon"})"), HasSubstr("client or route"));
  EXPECT_THAT(refusal(R"("canary": {"percent": 5})"), HasSubstr("canary.backends"));
  EXPECT_THAT(refusal(R"("canary": {"backends": ["http://127.0.0.1:2"], "percent": 101})"),
              HasSubstr("percent"));
  EXPECT_THAT(refusal(R"("mirror": {"backends": []})"), HasSubstr("mirror.backends"));
  EXPECT_THAT(refusal(R"("timeouts": {"connect_ms": 0})"), HasSubstr("connect_ms"));
  EXPECT_THAT(refusal(R"("retries": {"attempts": 101})"), HasSubstr("attempts"));
  EXPECT_THAT(refusal(R"("redirect_https": {"port": 0})"), HasSubstr("port"));
  EXPECT_THAT(refusal(R"("redirect_https": "yes")"), HasSubstr("redirect_https"));
  EXPECT_THAT(refusal(R"("paths": {"api": {}})"), HasSubstr("\"api\""));
  EXPECT_THAT(refusal(R"("paths": {"/a/../b": {}})"), HasSubstr("/a/../b"));
  EXPECT_THAT(refusal(R"("paths": {"/a": {}, "/a/": {}})"), HasSubstr("/a twice"));
  EXPECT_THAT(refusal(R"("paths": {"/a": {"paths": {"/b": {}}}})"), HasSubstr("a host alone"));
  EXPECT_THAT(refusal(R"("paths": {"/a": {"dney": []}})"), HasSubstr("dney"));
}

TEST(Policy, FieldsThatFrameOrThatTheProxySaysItselfCannotBeChanged) {
  for (const std::string_view name :
       {"Content-Length", "transfer-encoding", "Connection", "Upgrade", "TE", "X-Forwarded-For", "X-Real-IP",
        "Forwarded", "Keep-Alive", "Expect", "Trailer"}) {
    EXPECT_THAT(refusal(fmt::format(R"("request_headers": {{"set": {{"{}": "1"}}}})", name)),
                HasSubstr("own"));
    EXPECT_THAT(refusal(fmt::format(R"("response_headers": {{"remove": ["{}"]}})", name)),
                HasSubstr("may not"));
  }
  EXPECT_THAT(refusal(R"("request_headers": {"set": {"X-A": "a\r\nX-B: b"}})"), HasSubstr("X-A"));
  EXPECT_THAT(refusal(R"("request_headers": {"set": {"X A": "a"}})"), HasSubstr("X A"));
  EXPECT_THAT(refusal(R"("request_headers": {"set": {"Host": "a b"}})"), HasSubstr("Host"));
  EXPECT_THAT(refusal(R"("response_headers": {"set": {"Host": "a"}})"), HasSubstr("own"));
  EXPECT_THAT(refusal(R"("request_headers": {"add": {"Host": "a"}})"), HasSubstr("Host"));
}

}  // namespace
}  // namespace berth::proxy
