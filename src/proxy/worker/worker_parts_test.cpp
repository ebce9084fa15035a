// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include <array>
#include <map>

#include "base/file.h"
#include "proxy/worker/access_log.h"
#include "proxy/worker/balance.h"
#include "proxy/worker/forwarded_head.h"
#include "proxy/worker/timers.h"
#include "proxy/worker/waiting_line.h"
#include "proxy/worker/websocket.h"

namespace berth::proxy {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::MatchesRegex;
using testing::Not;

struct Alarm final : Timed {
  explicit Alarm(std::function<void()> then) : rung(std::move(then)) {}
  void on_deadline() override { rung(); }
  std::function<void()> rung;
};

TEST(Timers, RingAtTheLastDeadlineThatWasSet) {
  Timers timers(1000);
  std::vector<int> rung;
  Alarm one([&] { rung.push_back(1); }), two([&] { rung.push_back(2); }), never([&] { rung.push_back(3); });
  timers.set(one, 100);
  timers.set(two, 100);
  timers.set(never, 100);
  timers.set(two, 300);
  timers.clear(never);
  timers.advance(1050);
  EXPECT_THAT(rung, ElementsAre());
  timers.advance(1200);
  EXPECT_THAT(rung, ElementsAre(1));
  timers.advance(1400);
  EXPECT_THAT(rung, ElementsAre(1, 2));
  timers.set(one, 1'000);
  timers.set(one, 100);
  timers.advance(1600);
  EXPECT_THAT(rung, ElementsAre(1, 2, 1));
}

TEST(Timers, ReachFurtherThanTheirWheel) {
  Timers timers(0);
  int rung = 0;
  Alarm alarm([&] { ++rung; });
  timers.set(alarm, 3'600'000);
  for (std::int64_t now = 0; now < 3'600'000; now += 10'000) timers.advance(now);
  EXPECT_EQ(rung, 0);
  timers.advance(3'600'100);
  EXPECT_EQ(rung, 1);
}

TEST(Timers, WhatRingsMayEndOthersOfTheSameMoment) {
  Timers timers(0);
  auto other = std::make_unique<Alarm>([] { ADD_FAILURE(); });
  auto later = std::make_unique<Alarm>([] { ADD_FAILURE(); });
  Alarm alarm([&] {
    other.reset();
    later.reset();
  });
  timers.set(*other, 10);
  timers.set(*later, 10);
  timers.set(*later, 500);
  timers.set(alarm, 10);
  timers.advance(1000);
  EXPECT_EQ(other, nullptr);
}

std::shared_ptr<Route> route_of(std::initializer_list<std::uint32_t> weights) {
  static Endpoints endpoints;
  auto route = std::make_shared<Route>();
  int port = 1000;
  for (const std::uint32_t weight : weights)
    route->backends.push_back(endpoints.backend(fmt::format("http://127.0.0.1:{}", ++port), weight).value());
  for (Backend& backend : route->backends) {
    backend.endpoint->dead_until = 0;
    backend.endpoint->in_flight = 0;
  }
  return route;
}

std::map<std::size_t, int> choices(const Route& route, Choosing choosing = {}, int count = 10'000) {
  Random random(42);
  std::map<std::size_t, int> chosen;
  while (count-- > 0) ++chosen[choose_backend(route, choosing, random).value()];
  return chosen;
}

struct Waiter {
  WaitingLine<Waiter>::Place place;
};

TEST(WaitingLine, CallsEachInTurnAndThoseWhoComeMeanwhileLater) {
  WaitingLine<Waiter> line;
  std::array<Waiter, 4> waiters;
  const auto number = [&](const Waiter& one) { return &one - waiters.data(); };
  for (std::size_t at : {2, 0, 1}) line.add(waiters[at], waiters[at].place);
  line.add(waiters[0], waiters[0].place);  // it has its place already
  std::vector<std::ptrdiff_t> called;
  line.each([&](Waiter& one) {
    called.push_back(number(one));
    line.remove(one.place);
    if (number(one) == 0) line.add(one, one.place);
    if (number(one) == 2) line.add(waiters[3], waiters[3].place);
  });
  EXPECT_THAT(called, ElementsAre(2, 0, 1));
  called.clear();
  line.each([&](Waiter& one) { called.push_back(number(one)); });
  EXPECT_THAT(called, ElementsAre(3, 0));
}

TEST(WaitingLine, WhoLeavesIsNotCalledWhoeverMadeItLeave) {
  WaitingLine<Waiter> line;
  std::array<Waiter, 3> waiters;
  for (Waiter& one : waiters) line.add(one, one.place);
  int calls = 0;
  line.each([&](Waiter&) {
    ++calls;
    for (Waiter& one : waiters) line.remove(one.place);
  });
  EXPECT_EQ(calls, 1);
  EXPECT_TRUE(line.empty());
}

TEST(Balance, FollowsWeights) {
  std::map<std::size_t, int> chosen = choices(*route_of({9, 1, 0}));
  EXPECT_NEAR(chosen[0], 9000, 150);
  EXPECT_EQ(chosen.count(2), 0u);
}

TEST(Balance, PrefersTheOneWithLessToDo) {
  const auto route = route_of({1, 1});
  route->backends[0].endpoint->in_flight = 10;
  std::map<std::size_t, int> chosen = choices(*route);
  EXPECT_NEAR(chosen[1], 7500, 200);  // it loses only where both picks are the other
}

TEST(Balance, TakesTheDeadOnlyWhenNobodyLives) {
  const auto route = route_of({1, 1});
  route->backends[0].endpoint->dead_until = 100;
  EXPECT_EQ(choices(*route, {.now = 50}).size(), 1u);
  EXPECT_EQ(choices(*route, {.now = 100}).size(), 2u);
  EXPECT_EQ(choices(*route, {.now = 50, .tried = 2}).count(0), 1u);
  Random random(1);
  EXPECT_FALSE(choose_backend(*route, {.tried = 3}, random));
}

TEST(Balance, RoundRobinIsEvenAndHashIsSteady) {
  const auto route = route_of({1, 1, 2});
  route->options.balancing = Balancing::round_robin;
  EXPECT_THAT(choices(*route),
              ElementsAre(testing::Pair(0, 2500), testing::Pair(1, 2500), testing::Pair(2, 5000)));
  route->options.balancing = Balancing::hash;
  const std::map<std::size_t, int> one = choices(*route, {.client = "10.0.0.1"});
  ASSERT_EQ(one.size(), 1u);
  int moved = 0;
  Random random(1);
  const std::size_t gone = one.begin()->first;
  for (int client = 0; client < 1000; ++client) {
    const std::string address = fmt::format("10.0.1.{}", client);
    const std::size_t before = choose_backend(*route, {.client = address}, random).value();
    const std::size_t after =
        choose_backend(*route, {.tried = 1ull << gone, .client = address}, random).value();
    moved += before != gone && before != after;
  }
  EXPECT_EQ(moved, 0);
}

TEST(Balance, ACookieBringsBackToALivingBackend) {
  const auto route = route_of({1, 1});
  route->options.sticky = true;
  const std::string cookie = sticky_value(route->backends[1]);
  EXPECT_THAT(choices(*route, {.sticky = cookie}), ElementsAre(testing::Pair(1, 10'000)));
  route->backends[1].endpoint->dead_until = 100;
  EXPECT_THAT(choices(*route, {.now = 1, .sticky = cookie}), ElementsAre(testing::Pair(0, 10'000)));
  EXPECT_EQ(choices(*route, {.now = 100, .sticky = "made-up"}).size(), 2u);
}

std::string forwarded(const std::string& bytes, bool trusted,
                      const std::string& url = "http://127.0.0.1:80") {
  static Endpoints endpoints;
  RequestHead head;
  EXPECT_TRUE(parse_request_head(bytes, {}, head));
  std::string out;
  append_request_head(out, head, {.address = "192.0.2.7", .port = 8080, .tls = false, .trusted = trusted},
                      Route(), endpoints.backend(url).value(), {.keep_alive = true, .user = {}});
  return out;
}

const std::string kSpoofed =
    "GET /x HTTP/1.1\r\nHost: A.test:99\r\nX-Forwarded-For: 6.6.6.6\r\nX-Real-IP: 6.6.6.6\r\nForwarded: "
    "for=6.6.6.6\r\n"
    "X-Forwarded-Proto: https\r\nX-Forwarded-Port: 6\r\nX-Forwarded-Host: evil\r\nX-Stay: 1\r\n\r\n";

TEST(ForwardedHead, SaysWhoAskedAndBelievesNobody) {
  EXPECT_EQ(forwarded(kSpoofed, false),
            "GET /x HTTP/1.1\r\nHost: A.test:99\r\nX-Stay: 1\r\nX-Forwarded-For: "
            "192.0.2.7\r\nX-Forwarded-Proto: http\r\n"
            "X-Forwarded-Port: 8080\r\nX-Real-IP: 192.0.2.7\r\n\r\n");
}

TEST(ForwardedHead, BelievesWhoIsTrusted) {
  const std::string out = forwarded(kSpoofed, true);
  EXPECT_THAT(out, HasSubstr("X-Forwarded-For: 6.6.6.6, 192.0.2.7\r\n"));
  EXPECT_THAT(out, HasSubstr("X-Forwarded-Proto: https\r\n"));
  EXPECT_THAT(out, HasSubstr("X-Real-IP: 6.6.6.6\r\n"));
  EXPECT_THAT(out, HasSubstr("X-Forwarded-Host: evil\r\n"));
}

TEST(ForwardedHead, LeavesOutWhatIsForThisHop) {
  const std::string out = forwarded(
      "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, X-Hop\r\nKeep-Alive: 5\r\nX-Hop: 1\r\nTE: "
      "trailers\r\n"
      "Proxy-Connection: x\r\nProxy-Authorization: y\r\nUpgrade: h2c\r\n\r\n",
      false);
  EXPECT_THAT(out, MatchesRegex("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: .*"));
}

TEST(ForwardedHead, LeavesOutWhatIsSpelledToBeReadAsItsOwn) {
  EXPECT_THAT(
      forwarded("GET / HTTP/1.1\r\nHost: a\r\nX_Forwarded-For: 6.6.6.6\r\nX_Real_IP: 6\r\nx_y: 1\r\n\r\n",
                false),
      AllOf(Not(HasSubstr("6.6.6.6")), Not(HasSubstr("X_Real")), HasSubstr("x_y: 1")));
}

TEST(WebSocket, AcceptIsThatOfItsRfc) {
  EXPECT_EQ(websocket_accept("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

TEST(ForwardedHead, PutsTheBackendsPathInFront) {
  EXPECT_THAT(forwarded("GET /x?y HTTP/1.1\r\nHost: a\r\n\r\n", false, "http://127.0.0.1/base/"),
              HasSubstr("GET /base/x?y HTTP/1.1"));
}

TEST(ForwardedHead, OfAnAnswerHasNoFramingButOurs) {
  const Fields fields{
      {.name = "Connection", .value = "close", .known = KnownField::connection},
      {.name = "Transfer-Encoding", .value = "chunked", .known = KnownField::transfer_encoding},
      {.name = "X-Hop", .value = "1", .ends_here = true},
      {.name = "ETag", .value = "\"x\""}};
  std::string out;
  append_answer_head(out, {.status = 200, .reason = "Fine", .fields = &fields},
                     {.framing = Framing::Kind::chunked});
  EXPECT_EQ(out, "HTTP/1.1 200 Fine\r\nETag: \"x\"\r\nTransfer-Encoding: chunked\r\n\r\n");
}

TEST(AccessLog, LinesCannotBeForged) {
  const TemporaryDirectory directory = TemporaryDirectory::create("log").value();
  AccessLog log(directory.path() + "/a.log");
  ASSERT_TRUE(log.open());
  log.add({.client = "10.0.0.1",
           .method = "GET",
           .target = "/x?\"",
           .referrer = "r",
           .agent = "a\" \"b\\\x01",
           .host = "a.test",
           .id = "id\n\"",
           .status = 200,
           .bytes = 5,
           .total = 0.0121,
           .backend = 0.01});
  log.write_out();
  const std::string text = read_file(directory.path() + "/a.log").value();
  EXPECT_THAT(
      text, HasSubstr(R"("GET /x?\x22 HTTP/1.1" 200 5 "r" "a\x22 \x22b\x5c\x01" "id\x0a\x22" 0.012 0.010)"));
  EXPECT_THAT(text, MatchesRegex("10.0.0.1 - - \\[[0-9]+/[A-Z][a-z]+/[0-9:]+ \\+0000\\] .*\n"));
}

}  // namespace
}  // namespace berth::proxy
