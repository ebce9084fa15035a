// SPDX-License-Identifier: Apache-2.0
#include "network/subnet_choice.h"

#include <gtest/gtest.h>

namespace berth::network {
namespace {

using netlink::Ipv4Prefix;
using netlink::Ipv6Prefix;

std::string chosen(const std::vector<SubnetPool>& pools, const std::vector<std::string>& used) {
  std::vector<Ipv4Prefix> prefixes;
  for (const std::string& one : used) prefixes.push_back(*Ipv4Prefix::parse(one));
  std::optional<Ipv4Prefix> subnet = free_subnet(pools, prefixes);
  return subnet ? subnet->text() : "";
}

std::string chosen6(const std::string& base, int length, const std::vector<std::string>& used) {
  std::vector<Ipv6Prefix> prefixes;
  for (const std::string& one : used) prefixes.push_back(*Ipv6Prefix::parse(one));
  std::optional<Ipv6Prefix> subnet = free_subnet({{*Ipv6Prefix::parse(base), length}}, prefixes);
  return subnet ? subnet->text() : "";
}

SubnetPool pool(const char* base, int length) { return {*Ipv4Prefix::parse(base), length}; }

TEST(SubnetChoice, TakesTheFirstThatNobodyHas) {
  const std::vector<SubnetPool> ten{pool("10.1.0.0/16", 24)};
  EXPECT_EQ(chosen(ten, {}), "10.1.0.0/24");
  EXPECT_EQ(chosen(ten, {"10.1.0.0/24"}), "10.1.1.0/24");
  EXPECT_EQ(chosen(ten, {"10.1.1.0/24", "10.1.0.128/25"}), "10.1.2.0/24") << "a part of it is used";
  EXPECT_EQ(chosen(ten, {"10.1.0.0/17"}), "10.1.128.0/24") << "it and its neighbours are";
  EXPECT_EQ(chosen(ten, {"10.1.0.0/24", "10.1.2.0/24"}), "10.1.1.0/24");
}

TEST(SubnetChoice, GoesOnToTheNextPool) {
  const std::vector<SubnetPool> two{pool("10.1.0.0/24", 25), pool("10.9.0.0/24", 24)};
  EXPECT_EQ(chosen(two, {"10.1.0.0/25"}), "10.1.0.128/25");
  EXPECT_EQ(chosen(two, {"10.0.0.0/9"}), "") << "all of both";
  EXPECT_EQ(chosen(two, {"10.1.0.0/24"}), "10.9.0.0/24");
  EXPECT_EQ(chosen({}, {}), "");
}

TEST(SubnetChoice, EndsWhereAddressesEnd) {
  EXPECT_EQ(chosen({pool("255.255.255.0/24", 25)}, {"255.255.255.0/24"}), "");
  EXPECT_EQ(chosen({pool("0.0.0.0/0", 8)}, {"0.0.0.0/0"}), "");
  EXPECT_EQ(chosen6("ffff::/16", 17, {"ffff::/17", "ffff:8000::/17"}), "");
  EXPECT_EQ(chosen6("::/0", 64, {"::/0"}), "");
}

TEST(SubnetChoice, SkipsWhatIsUsedOfAHugePoolAtOnce) {
  EXPECT_EQ(chosen({pool("10.0.0.0/8", 30)}, {"10.0.0.0/9", "10.128.0.0/10"}), "10.192.0.0/30");
  EXPECT_EQ(chosen6("fd00::/8", 120, {"fd00::/16", "fd01::/16"}), "fd02::/120");
}

TEST(SubnetChoice, CarriesOverInIpv6) {
  EXPECT_EQ(chosen6("fd00:1::/48", 64, {}), "fd00:1::/64");
  EXPECT_EQ(chosen6("fd00:1::/48", 64, {"fd00:1:0:0::/57", "fd00:1:0:80::/57"}), "fd00:1:0:100::/64");
  EXPECT_EQ(chosen6("fd00::/40", 44, {"fd00::/44"}), "fd00:0:10::/44") << "a length that is no multiple of 8";
}

TEST(SubnetChoice, UsualPoolsAreDockers) {
  std::vector<std::string> used;
  for (int second = 17; second <= 31; ++second) {
    const std::string next = "172." + std::to_string(second) + ".0.0/16";
    EXPECT_EQ(chosen(usual_subnet_pools(), used), next);
    used.push_back(next);
  }
  EXPECT_EQ(chosen(usual_subnet_pools(), used), "192.168.0.0/20");
  used.emplace_back("192.168.0.0/20");
  EXPECT_EQ(chosen(usual_subnet_pools(), used), "192.168.16.0/20");
}

}  // namespace
}  // namespace berth::network
