// SPDX-License-Identifier: Apache-2.0
#include "network/address_pool6.h"

#include <gtest/gtest.h>

namespace berth::network {
namespace {

using netlink::Ipv6Address;
using netlink::Ipv6Prefix;

std::string next_of(AddressPool6& pool) {
  Result<Ipv6Address> address = pool.allocate();
  return address ? address->text() : address.error().message;
}

TEST(AddressPool6, GivesOutAnAddressOnceAndOneThatWasGivenBackLastOfAll) {
  AddressPool6 pool(*Ipv6Prefix::parse("fd00::/125"));
  ASSERT_TRUE(pool.reserve(*Ipv6Address::parse("fd00::1")));
  EXPECT_EQ(next_of(pool), "fd00::2");
  EXPECT_EQ(next_of(pool), "fd00::3");
  pool.release(*Ipv6Address::parse("fd00::2"));
  for (const char* wanted : {"fd00::4", "fd00::5", "fd00::6", "fd00::7", "fd00::2"})
    EXPECT_EQ(next_of(pool), wanted);
  EXPECT_EQ(next_of(pool), "all addresses of the subnet fd00::/125 are taken");
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
