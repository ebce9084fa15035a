// SPDX-License-Identifier: Apache-2.0
#include "proxy/worker/passwords.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

namespace berth::proxy {
namespace {

using std::chrono::steady_clock;

// What crypt(3) makes of "right", quickly and slowly (about a second).
const std::string kQuick = "$5$rounds=1000$salt$jmWlX.WMmU0.rE0RvWQVpnv3gAtcUKsIbtS2DDkjkW.";
const std::string kSlow = "$6$rounds=1000000$salt$0000000000000000000000000000000000000000";

AddressBytes address(const std::string& text) { return parse_address(text).value(); }

std::optional<PasswordAnswer> answer(PasswordChecker& checker, std::uint64_t ticket) {
  for (const auto until = steady_clock::now() + std::chrono::seconds(20); steady_clock::now() < until;) {
    if (const auto said = checker.take(ticket)) return said;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return std::nullopt;
}

TEST(Passwords, AreRightOrWrong) {
  std::atomic<int> told{0};
  PasswordChecker checker([&] { ++told; });
  const std::uint64_t wrong = checker.ask(kQuick, "left", address("192.0.2.1"));
  EXPECT_EQ(answer(checker, wrong), PasswordAnswer::wrong);
  EXPECT_EQ(answer(checker, checker.ask(kQuick, "right", address("192.0.2.1"))), PasswordAnswer::right);
  const std::uint64_t nonsense = checker.ask("*", "right", address("192.0.2.1"));
  EXPECT_EQ(answer(checker, nonsense), PasswordAnswer::wrong);
  EXPECT_EQ(told.load(), 3);
}

TEST(Passwords, TheSameQuestionIsAskedOnceAndAnsweredToAll) {
  PasswordChecker checker([] {});
  checker.ask(kSlow, "x", address("192.0.2.9"));  // keeps it busy
  std::vector<std::uint64_t> tickets;
  for (int count = 0; count < 30; ++count)
    tickets.push_back(checker.ask(kQuick, "left", address("192.0.2.1")));
  for (const std::uint64_t ticket : tickets) {
    EXPECT_EQ(ticket, tickets.front());
    EXPECT_EQ(answer(checker, ticket), PasswordAnswer::wrong);
  }
  EXPECT_FALSE(checker.take(tickets.front()));
}

TEST(Passwords, OneClientOrOneNetworkHasFewPlaces) {
  PasswordChecker checker([] {});
  checker.ask(kSlow, "x", address("192.0.2.9"));
  int taken = 0;
  for (int count = 0; count < 20; ++count)
    taken += checker.ask(kSlow, std::to_string(count), address(fmt::format("2001:db8::{}", count + 1))) != 0;
  EXPECT_EQ(taken, 8);
}

TEST(Passwords, WhoComesNewGoesBeforeWhoHasMany) {
  PasswordChecker checker([] {});
  checker.ask(kSlow, "x", address("192.0.2.250"));
  std::vector<std::uint64_t> crowd;
  for (int client = 0; client < 40; ++client)
    for (int count = 0; count < 8; ++count)
      crowd.push_back(checker.ask(kSlow, fmt::format("{} {}", client, count),
                                  address(fmt::format("198.51.100.{}", client + 1))));
  const std::uint64_t late = checker.ask(kQuick, "left", address("192.0.2.77"));
  EXPECT_NE(late, 0u);
  // Somebody's last question had to give way.
  EXPECT_GT(std::ranges::count_if(crowd,
                                  [&](std::uint64_t ticket) {
                                    return ticket == 0 || checker.take(ticket) == PasswordAnswer::turned_away;
                                  }),
            40 * 8 - 256);
}

TEST(Passwords, NobodyWaitsForThoseThatAreLeftAtTheEnd) {
  PasswordChecker checker([] {});
  for (int client = 1; client < 60; ++client)
    checker.ask(kSlow, "x" + std::to_string(client), address(fmt::format("198.51.100.{}", client)));
  const auto began = steady_clock::now();
  checker.stop();
  EXPECT_LT(steady_clock::now() - began, std::chrono::seconds(15));
  EXPECT_EQ(checker.ask(kQuick, "left", address("192.0.2.1")), 0u);
}

TEST(Passwords, WhatWasRightIsKnownForThatHashAlone) {
  KnownPasswords known;
  EXPECT_FALSE(known.has(kQuick, "right"));
  known.add(kQuick, "right");
  EXPECT_TRUE(known.has(kQuick, "right"));
  EXPECT_FALSE(known.has(kQuick, "left"));
  EXPECT_FALSE(known.has(kSlow, "right"));
  for (int count = 0; count < 5000; ++count) known.add(kSlow, std::to_string(count));
  EXPECT_FALSE(known.has(kQuick, "right"));  // there is a bound
}

}  // namespace
}  // namespace berth::proxy
