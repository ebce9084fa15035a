// SPDX-License-Identifier: Apache-2.0
#include "engine/events.h"

#include <gtest/gtest.h>
#include <poll.h>

namespace berth::engine {
namespace {

bool readable(const EventSubscription& subscription) {
  pollfd ready{subscription.descriptor(), POLLIN, 0};
  return poll(&ready, 1, 0) == 1;
}

Event event(std::string action, std::int64_t time = 0) {
  return {.type = "container", .action = std::move(action), .actor = "c", .attributes = {}, .time = {time}};
}

TEST(Events, EveryListenerGetsThemInOrder) {
  EventBus bus;
  auto one = bus.subscribe().value();
  bus.publish(event("create"));
  auto two = bus.subscribe().value();
  bus.publish(event("start"));
  EXPECT_EQ(one->take()->action, "create");
  EXPECT_EQ(one->take()->action, "start");
  EXPECT_FALSE(one->take());
  EXPECT_EQ(two->take()->action, "start") << "from the subscription on";
  EXPECT_FALSE(two->take());
}

TEST(Events, TheDescriptorTellsWhetherOneWaits) {
  EventBus bus;
  auto listener = bus.subscribe().value();
  EXPECT_FALSE(readable(*listener));
  bus.publish(event("a"));
  bus.publish(event("b"));
  EXPECT_TRUE(readable(*listener));
  EXPECT_TRUE(listener->take());
  EXPECT_TRUE(readable(*listener)) << "until take() gives nothing";
  EXPECT_TRUE(listener->take());
  EXPECT_FALSE(listener->take());
  EXPECT_FALSE(readable(*listener));
  bus.publish(event("c"));
  EXPECT_TRUE(readable(*listener));
}

TEST(Events, GetATimeWhenTheyHaveNone) {
  EventBus bus;
  auto listener = bus.subscribe().value();
  bus.publish(event("now"));
  bus.publish(event("then", 5));
  EXPECT_GT(listener->take()->time.nanoseconds, 1'600'000'000'000'000'000);
  EXPECT_EQ(listener->take()->time.nanoseconds, 5);
}

TEST(Events, ThePastIsRememberedInBounds) {
  EventBus bus;
  for (int i = 1; i <= 1500; ++i) bus.publish(event(std::to_string(i), i));
  std::vector<Event> found = bus.since({1400}, {1402});
  ASSERT_EQ(found.size(), 3u) << "both ends belong to it";
  EXPECT_EQ(found[0].action, "1400");
  EXPECT_EQ(found[2].action, "1402");
  std::vector<Event> all = bus.since({0}, {10'000});
  EXPECT_EQ(all.size(), 1024u);
  EXPECT_EQ(all.front().action, "477");
  EXPECT_EQ(all.back().action, "1500");
}

TEST(Events, AListenerThatDoesNotReadIsCutOffAndHoldsNoMemory) {
  EventBus bus;
  auto slow = bus.subscribe().value();
  for (int i = 0; i < 20'000; ++i) bus.publish(event(std::to_string(i), i + 1));
  EXPECT_TRUE(slow->overrun());
  EXPECT_TRUE(readable(*slow));
  int taken = 0;
  while (std::optional<Event> next = slow->take()) EXPECT_EQ(next->action, std::to_string(taken++));
  EXPECT_EQ(taken, 16 * 1024);
}

TEST(Events, AListenerThatIsGoneIsForgotten) {
  EventBus bus;
  auto stays = bus.subscribe().value();
  bus.subscribe().value().reset();
  bus.publish(event("a"));
  EXPECT_TRUE(stays->take());
  EXPECT_FALSE(stays->overrun());
}

}  // namespace
}  // namespace berth::engine
