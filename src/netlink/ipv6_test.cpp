// SPDX-License-Identifier: Apache-2.0
#include "netlink/ipv6.h"

#include <gtest/gtest.h>

namespace berth::netlink {
namespace {

Ipv6Prefix prefix(std::string_view text) { return *Ipv6Prefix::parse(text); }

TEST(Ipv6, IsReadAndWrittenInItsShortForm) {
  EXPECT_EQ(Ipv6Address::parse("FD00:0:0:0:0:0:0:1")->text(), "fd00::1");
  EXPECT_EQ(prefix("2001:db8::/32").text(), "2001:db8::/32");
  for (const char* wrong : {"", ":", "1.2.3.4", "fd00::1%eth0", "fd00::g", "fd00::1/64", "::1 "})
    EXPECT_FALSE(Ipv6Address::parse(wrong)) << wrong;
  for (const char* wrong : {"fd00::", "fd00::/", "fd00::/129", "fd00::/-1", "/64"})
    EXPECT_FALSE(Ipv6Prefix::parse(wrong)) << wrong;
}

TEST(Ipv6, PrefixesKnowWhatIsInThem) {
  EXPECT_EQ(prefix("fd00:1:2:3:ff::9/65").subnet().text(), "fd00:1:2:3::/65");
  EXPECT_TRUE(prefix("fd00::/64").contains(*Ipv6Address::parse("fd00::ffff")));
  EXPECT_FALSE(prefix("fd00::/64").contains(*Ipv6Address::parse("fd00:0:0:1::")));
  EXPECT_TRUE(prefix("::/0").contains(*Ipv6Address::parse("ffff::")));
  EXPECT_TRUE(prefix("fd00::/16").overlaps(prefix("fd00:1::/64")));
  EXPECT_TRUE(prefix("fd00:1::/64").overlaps(prefix("fd00::/16")));
  EXPECT_FALSE(prefix("fd00:1::/64").overlaps(prefix("fd00:2::/64")));
  EXPECT_EQ(prefix("fd00::/64").host(258).text(), "fd00::102");
  EXPECT_EQ(prefix("fd00::ff00/120").host(255).text(), "fd00::ffff");
}

TEST(IpAddress, IsOfOneFamily) {
  EXPECT_EQ(IpAddress::parse("10.1.2.3")->text(), "10.1.2.3");
  EXPECT_EQ(IpAddress::parse("10.1.2.3")->v4(), *Ipv4Address::parse("10.1.2.3"));
  EXPECT_EQ(IpAddress::parse("fd00::1")->text(), "fd00::1");
  EXPECT_NE(*IpAddress::parse("::"), *IpAddress::parse("0.0.0.0"))
      << "all of one family is not all of the other";
  EXPECT_FALSE(*IpAddress::parse("::"));
  EXPECT_FALSE(IpAddress::parse("localhost"));
}

}  // namespace
}  // namespace berth::netlink
