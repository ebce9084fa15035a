// SPDX-License-Identifier: Apache-2.0
#include "network/address_pool.h"

#include <gtest/gtest.h>

#include <set>

namespace berth::network {
namespace {

using netlink::Ipv4Address;
using netlink::Ipv4Prefix;
using netlink::Ipv6Address;
using netlink::Ipv6Prefix;

template <class Pool>
std::string next_of(Pool& pool) {
  auto address = pool.allocate();
  return address ? address->text() : address.error().message;
}

TEST(AddressPool, GivesEachAddressOnceAndOldOnesLast) {
  AddressPool pool(*Ipv4Prefix::parse("10.0.0.0/29"));
  ASSERT_TRUE(pool.reserve(*Ipv4Address::parse("10.0.0.1")));
  EXPECT_EQ(next_of(pool), "10.0.0.2");
  EXPECT_EQ(next_of(pool), "10.0.0.3");
  pool.release(*Ipv4Address::parse("10.0.0.2"));
  EXPECT_EQ(next_of(pool), "10.0.0.4");
  EXPECT_EQ(next_of(pool), "10.0.0.5");
  EXPECT_EQ(next_of(pool), "10.0.0.6");
  EXPECT_EQ(next_of(pool), "10.0.0.2");
  Result<Ipv4Address> none = pool.allocate();
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().kind, ErrorKind::exhausted);
  for (const char* outside : {"10.0.0.0", "10.0.0.7", "10.0.0.8", "9.255.255.255"})
    EXPECT_EQ(pool.reserve(*Ipv4Address::parse(outside)).error().kind, ErrorKind::invalid) << outside;
}

TEST(AddressPool, CoversTheWholeOfIpv4AndASingleHost) {
  AddressPool all(*Ipv4Prefix::parse("0.0.0.0/0"));
  ASSERT_TRUE(all.reserve(*Ipv4Address::parse("255.255.255.254")));
  EXPECT_TRUE(all.allocate());
  AddressPool one(*Ipv4Prefix::parse("10.0.0.7/32"));
  EXPECT_EQ(next_of(one), "10.0.0.7");
  EXPECT_FALSE(one.allocate());
}

TEST(AddressPool, KeepsToItsRange) {
  AddressPool pool(*Ipv4Prefix::parse("10.0.0.0/24"), Ipv4Prefix::parse("10.0.0.8/30"));
  ASSERT_TRUE(pool.reserve(*Ipv4Address::parse("10.0.0.1")));
  ASSERT_TRUE(pool.reserve(*Ipv4Address::parse("10.0.0.9")));
  std::set<std::string> given;
  for (int i = 0; i < 3; ++i) given.insert(next_of(pool));
  EXPECT_EQ(given, (std::set<std::string>{"10.0.0.8", "10.0.0.10", "10.0.0.11"}));
  EXPECT_EQ(pool.allocate().error().kind, ErrorKind::exhausted);
  pool.release(*Ipv4Address::parse("10.0.0.1"));
  EXPECT_FALSE(pool.allocate());
  pool.release(*Ipv4Address::parse("10.0.0.9"));
  EXPECT_EQ(next_of(pool), "10.0.0.9");
}

// What a container will start with, and what it has after an engine's restart.
TEST(AddressPool, AnAddressIsItsOwnersUntilHeGivesItBack) {
  AddressPool pool(*Ipv4Prefix::parse("10.0.0.0/29"));
  const Ipv4Address address = *Ipv4Address::parse("10.0.0.2");
  ASSERT_TRUE(pool.reserve(*Ipv4Address::parse("10.0.0.1")));
  EXPECT_FALSE(pool.reserve(*Ipv4Address::parse("10.0.0.1"))) << "nobody's is not anybody's";
  EXPECT_FALSE(pool.has_owner_beside(""));
  ASSERT_TRUE(pool.reserve(address, "one"));
  EXPECT_TRUE(pool.reserve(address, "one"));
  EXPECT_EQ(pool.reserve(address, "two").error().kind, ErrorKind::conflict);
  EXPECT_EQ(next_of(pool), "10.0.0.3");
  EXPECT_TRUE(pool.has_owner_beside(""));
  EXPECT_FALSE(pool.has_owner_beside("one"));
  EXPECT_TRUE(pool.has_owner_beside("two"));
  pool.release_all("one");
  EXPECT_TRUE(pool.reserve(address, "two"));
}

TEST(AddressPool6, GivesOutAnAddressOnceAndOneThatWasGivenBackLastOfAll) {
  AddressPool6 pool(*Ipv6Prefix::parse("fd00::/125"));
  ASSERT_TRUE(pool.reserve(*Ipv6Address::parse("fd00::1")));
  EXPECT_EQ(next_of(pool), "fd00::2");
  EXPECT_EQ(next_of(pool), "fd00::3");
  pool.release(*Ipv6Address::parse("fd00::2"));
  for (const char* wanted : {"fd00::4", "fd00::5", "fd00::6", "fd00::7", "fd00::2"})
    EXPECT_EQ(next_of(pool), wanted);
  EXPECT_EQ(next_of(pool), "all addresses that the subnet fd00::/125 gives out are taken");
}

TEST(AddressPool6, KeepsToItsRangeAndReservesOutsideOfIt) {
  AddressPool6 pool(*Ipv6Prefix::parse("fd00::/64"), *Ipv6Prefix::parse("fd00::8/127"));
  EXPECT_TRUE(pool.reserve(*Ipv6Address::parse("fd00::ffff")));
  EXPECT_EQ(pool.reserve(*Ipv6Address::parse("fd00::ffff")).error().kind, ErrorKind::conflict);
  EXPECT_EQ(pool.reserve(*Ipv6Address::parse("fd01::1")).error().kind, ErrorKind::invalid);
  EXPECT_EQ(pool.reserve(*Ipv6Address::parse("fd00::")).error().kind, ErrorKind::invalid) << "the routers'";
  EXPECT_EQ(next_of(pool), "fd00::8");
  EXPECT_EQ(next_of(pool), "fd00::9");
  EXPECT_FALSE(pool.allocate());
}

// The subnet's first address alone is nobody's.
TEST(AddressPool6, ARangeWithoutRoomGivesNothing) {
  AddressPool6 pool(*Ipv6Prefix::parse("fd00::/64"), *Ipv6Prefix::parse("fd00::/128"));
  EXPECT_FALSE(pool.allocate());
}

}  // namespace
}  // namespace berth::network
