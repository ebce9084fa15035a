// SPDX-License-Identifier: Apache-2.0
// What may pass: the nft table, forwarding, and who has which port of the host.
#include "network/firewall.h"

#include <gmock/gmock.h>

#include <array>
#include <thread>

#include "base/file.h"
#include "base/process.h"
#include "network/forwarding.h"
#include "network/ports.h"
#include "network/test_support.h"

namespace berth::network {
namespace {

using namespace test;
using testing::HasSubstr;
using testing::Not;

TEST(Firewall, WritesNetworksAndPortsAsOneTable) {
  const std::string text = firewall_text(
      "berth",
      {{"berth0", *Ipv4Prefix::parse("172.17.0.0/16")},
       {"inner", *Ipv4Prefix::parse("10.0.0.0/8"), true, true},
       {"apart", *Ipv4Prefix::parse("11.0.0.0/8"), true, false, true}},
      {{"tcp", {}, 8080, *Ipv4Address::parse("172.17.0.2"), 80, 1},
       {"udp", *Ipv4Address::parse("127.0.0.1"), 5000, *Ipv4Address::parse("172.17.0.3"), 5000, 1000},
       {"tcp", {}, 90, *Ipv4Address::parse("172.17.0.3"), 91, 2}});
  EXPECT_TRUE(text.starts_with("add table ip berth\ndelete table ip berth\ntable ip berth {\n")) << text;
  EXPECT_THAT(text, HasSubstr("elements = { tcp . 90 : 172.17.0.3 . 91, tcp . 91 : 172.17.0.3 . 92, "
                              "tcp . 8080 : 172.17.0.2 . 80 }"));
  EXPECT_THAT(text, HasSubstr("elements = { udp . 127.0.0.1 . 5000-5999 : 172.17.0.3 }"));
  EXPECT_THAT(text, HasSubstr("ip saddr 172.17.0.0/16 oifname != \"berth0\" masquerade"));
  EXPECT_THAT(text, HasSubstr("iifname \"inner\" oifname != \"inner\" drop"));
  EXPECT_THAT(text, Not(HasSubstr("ip saddr 10.0.0.0/8")));
  EXPECT_THAT(text, HasSubstr("iifname \"apart\" oifname \"apart\" ct status"));
  EXPECT_THAT(text, Not(HasSubstr("iifname \"berth0\" oifname \"berth0\" ct status")));
  EXPECT_EQ(
      firewall_ports_text("delete", "berth", {{"tcp", {}, 8080, *Ipv4Address::parse("172.17.0.2"), 80, 1}}),
      "delete element ip berth single { tcp . 8080 : 172.17.0.2 . 80 }\n");
  EXPECT_EQ(firewall_table_name("berth"), "berth");
  EXPECT_EQ(firewall_table_name("A-b\"; flush ruleset"), "berth_a_b___flush_ruleset");
}

TEST(Firewall, IsLoadedAgainWhenSomebodyFlushesIt) {
  on_own_host([] {
    OneEngine engine = begin_engine("flushed");
    must(engine.firewall->publish({{"tcp", {}, 8080, *Ipv4Address::parse("172.17.0.2"), 80, 1},
                                   {"udp", {}, 9000, *Ipv4Address::parse("172.17.0.2"), 9000, 100}}));
    auto listed = [] { return must(run_program({"nft", "list", "ruleset"})).standard_output; };
    const std::string before = listed();
    EXPECT_THAT(before, HasSubstr("tcp . 8080 : 172.17.0.2 . 80"));
    EXPECT_THAT(before, HasSubstr("9000-9099"));
    for (const char* command :
         {"flush ruleset", "delete table inet berth_flushed", "flush table inet berth_flushed"}) {
      must(load_firewall(std::string(command) + "\n"));
      for (int i = 0; i < 100 && listed() != before; ++i)
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
      EXPECT_EQ(listed(), before) << command;
    }
    must(engine.firewall->withdraw({{"tcp", {}, 8080, *Ipv4Address::parse("172.17.0.2"), 80, 1}}));
    EXPECT_THAT(listed(), Not(HasSubstr("8080")));
    must(engine.firewall->drop());
    EXPECT_EQ(listed(), "");
  });
}

// The host of the test has two wires, between which nothing passes by itself.
TEST(Firewall, MakesNoRouterOfAHostThatForwardsForContainersAlone) {
  FirewallHost host{.ipv6 = Ipv6Rules::all, .forwards_for_us = true, .forwards_ipv6_for_us = false};
  const std::string text = firewall_text("berth", {}, {}, host);
  EXPECT_THAT(text, HasSubstr("meta nfproto ipv4 meta oifkind { \"bridge\", \"tun\", \"wireguard\" } accept\n"
                              "    meta nfproto ipv4 drop"));
  EXPECT_THAT(text, Not(HasSubstr("meta nfproto ipv6 drop")));
}

TEST(Firewall, FindsChainsThatDropWhatTheyDoNotAccept) {
  EXPECT_THAT(
      find_forward_drops("table ip filter {\n\tchain INPUT {\n\t\ttype filter hook input priority filter; "
                         "policy drop;\n\t}\n\tchain FORWARD {\n\t\ttype filter hook forward priority "
                         "filter; policy drop;\n\t}\n\tchain DOCKER {\n\t}\n}\ntable inet own {\n\tchain "
                         "f {\n\t\ttype filter hook forward priority filter; policy accept;\n\t}\n}\n"),
      testing::ElementsAre("ip filter FORWARD"));
}

TEST(Firewall, ClosesBridgesWithoutIpv6ToIt) {
  const std::string text =
      firewall_text("berth", {{"plain", *Ipv4Prefix::parse("172.17.0.0/16")}}, {}, {.ipv6 = Ipv6Rules::all});
  EXPECT_THAT(text, HasSubstr("add table inet berth\ndelete table inet berth\ntable inet berth {\n"));
  EXPECT_THAT(text, HasSubstr("    meta nfproto ipv6 iifname \"plain\" oifname != \"plain\" drop"));
  EXPECT_THAT(text, HasSubstr("    meta nfproto ipv6 iifname != \"plain\" oifname \"plain\" drop"));
  EXPECT_THAT(text, Not(HasSubstr("dnat ip6"))) << "there is nothing to lead anywhere";
}

// Whatever the host is like: nft takes it, and takes it away again.
TEST(Firewall, IsOneTableThatNftTakes) {
  on_own_host([] {
    const std::vector<FirewallBridge> plain{{"berth0", *Ipv4Prefix::parse("172.17.0.0/16")},
                                            {"inner", *Ipv4Prefix::parse("10.0.0.0/8"), true, true},
                                            {"apart", *Ipv4Prefix::parse("11.0.0.0/8"), true, false, true}};
    std::vector<FirewallBridge> both = plain;
    both[0].subnet6 = netlink::Ipv6Prefix::parse("fd00::/64");
    const std::set<PublishedPort> ports{{"tcp", {}, 8080, *Ipv4Address::parse("172.17.0.2"), 80, 1},
                                        {"udp", {}, 9000, *Ipv4Address::parse("172.17.0.2"), 9000, 100}};
    std::set<PublishedPort> ports6 = ports;
    ports6.insert({"tcp", netlink::Ipv6Address{}, 8080, *netlink::Ipv6Address::parse("fd00::2"), 80, 1});
    struct {
      const std::vector<FirewallBridge>& bridges;
      const std::set<PublishedPort>& ports;
      FirewallHost host;
    } const cases[] = {{plain, ports, {.forwards_for_us = true}},
                       {plain, ports, {Ipv6Rules::all, true, true}},
                       {both, ports6, {Ipv6Rules::all, true, true}},
                       {both, ports6, {Ipv6Rules::without_loopback, false, false}}};
    for (const auto& [bridges, published, host] : cases) {
      must(load_firewall("add table ip berth_text\n"));  // of an engine of before
      must(load_firewall(firewall_text("berth_text", bridges, published, host)));
      const std::vector<PublishedPort> list(published.begin(), published.end());
      must(load_firewall(firewall_ports_text("delete", "berth_text", list, host)));
      must(load_firewall(firewall_ports_text("add", "berth_text", list, host)));
      const std::string tables = must(run_program({"nft", "list", "tables"})).standard_output;
      EXPECT_EQ(tables,
                std::string(host.ipv6 == Ipv6Rules::none ? "table ip" : "table inet") + " berth_text\n");
      must(load_firewall(firewall_away_text("berth_text", host)));
      EXPECT_EQ(must(run_program({"nft", "list", "tables"})).standard_output, "");
    }
  });
}

TEST(Forwarding, NotesWhatWasOffBefore) {
  on_own_host([] {
    TemporaryDirectory notes = must(TemporaryDirectory::create("forwarding"));
    const std::string ipv4 = "/proc/sys/net/ipv4/ip_forward";
    auto now = [&] { return must(read_file(ipv4)); };
    must(write_existing(ipv4, "0"));
    {
      Forwarding forwarding(notes.path());
      must(forwarding.want(false));
      EXPECT_EQ(now(), "0\n") << "before the rules are there";
      must(forwarding.turn_on());
      EXPECT_EQ(now(), "1\n");
    }
    Forwarding next(notes.path());  // after a kill; and perhaps nobody needs it any more
    EXPECT_TRUE(next.is_ours(false));
    EXPECT_FALSE(next.is_ours(true));
    netlink::Socket netlink = must(netlink::Socket::open());
    netlink::Batch bridge, no_bridge;
    bridge.create_bridge("others", {});
    must(netlink.execute(bridge));
    must(next.turn_off());
    EXPECT_EQ(now(), "1\n") << "somebody else's bridge needs it";
    EXPECT_TRUE(Forwarding(notes.path()).is_ours(false));
    no_bridge.delete_link("others");
    must(netlink.execute(no_bridge));
    must(next.turn_off());
    EXPECT_EQ(now(), "0\n");
    must(write_existing(ipv4, "1"));
    Forwarding on(notes.path());
    must(on.want(false));
    must(on.turn_on());
    EXPECT_FALSE(on.is_ours(false));
    must(on.turn_off());
    EXPECT_EQ(now(), "1\n") << "somebody else's wish";
  });
}

TEST(Forwarding, KeepsTheHostsOwnIpv6AddressesAndNoGuestsWord) {
  on_own_host([] {
    TemporaryDirectory notes = must(TemporaryDirectory::create("forwarding"));
    const std::string settings = "/proc/sys/net/ipv6/conf/";
    must(write_existing(settings + "lo/accept_ra", "1"));
    Forwarding forwarding(notes.path());
    must(forwarding.want(true));
    must(forwarding.turn_on());
    EXPECT_EQ(must(read_file(settings + "lo/accept_ra")), "2\n");
    EXPECT_EQ(must(read_file(settings + "default/accept_ra")), "1\n");
  });
}

constexpr netlink::IpAddress kAnywhere[] = {{}};

std::array<netlink::IpAddress, 1> at(std::string_view text) { return {*netlink::IpAddress::parse(text)}; }

// A port of both families has one number; a port of one leaves the other's alone.
TEST(PortTable, ClaimsAtAllAddressesOrAtNone) {
  on_own_host([] {
    OneEngine engine = begin_engine("ports");
    PortTable ports;
    const netlink::IpAddress both[] = {netlink::IpAddress(Ipv4Address{}),
                                       netlink::IpAddress(netlink::Ipv6Address{})};
    EXPECT_EQ(must(ports.claim("one", "tcp", at("::"), {80, 80})), 80);
    EXPECT_EQ(must(ports.claim("two", "tcp", at("0.0.0.0"), {80, 80})), 80);
    EXPECT_EQ(must(ports.claim("two", "tcp", both, {80, 81})), 81);
    Result<std::uint16_t> taken = ports.claim("three", "tcp", both, {80, 81});
    ASSERT_FALSE(taken);
    EXPECT_EQ(taken.error().kind, ErrorKind::conflict);
    ports.release("two");
    EXPECT_FALSE(ports.claim("three", "tcp", both, {80, 80})) << "::";
    EXPECT_EQ(must(ports.claim("three", "tcp", at("0.0.0.0"), {80, 80})), 80)
        << "a claim that failed took it";
    EXPECT_THAT(ports.claim("four", "tcp", at("::1"), {80, 80}).error().message, HasSubstr("[::1]:80"));
  });
}

TEST(PortTable, GivesAPortOnceAndAsksTheHost) {
  on_own_host([] {
    OneEngine engine = begin_engine("ports");  // a host without any address takes all for its own
    PortTable ports;
    EXPECT_EQ(must(ports.claim("one", "tcp", kAnywhere, {80, 80})), 80);
    Result<std::uint16_t> again = ports.claim("one", "tcp", at("127.0.0.1"), {80, 80});
    ASSERT_FALSE(again);
    EXPECT_THAT(again.error().message, HasSubstr("port is already allocated"));
    EXPECT_EQ(must(ports.claim("one", "udp", kAnywhere, {80, 80})), 80);
    ports.release("two");
    EXPECT_FALSE(ports.claim("two", "tcp", kAnywhere, {80, 80}));
    ports.release("one");
    EXPECT_EQ(must(ports.claim("two", "tcp", kAnywhere, {80, 81})), 80);
    ports.release("one");  // which has none any more
    must(ports.reclaim("one", "udp", {}, 80));
    EXPECT_FALSE(ports.reclaim("two", "udp", *Ipv4Address::parse("127.0.0.1"), 80));
    EXPECT_EQ(must(ports.claim("one", "tcp", kAnywhere, {80, 81})), 81);
    EXPECT_FALSE(ports.claim("one", "tcp", kAnywhere, {80, 81}));
    const std::uint16_t any = must(ports.claim("one", "tcp", kAnywhere, {}));
    EXPECT_GE(any, 32768);
    EXPECT_NE(must(ports.claim("one", "tcp", kAnywhere, {})), any);
    Result<std::uint16_t> elsewhere = ports.claim("one", "tcp", at("203.0.113.7"), {90, 90});
    ASSERT_FALSE(elsewhere);
    EXPECT_EQ(elsewhere.error().kind, ErrorKind::invalid);

    Fd listener(socket(AF_INET, SOCK_STREAM, 0));
    sockaddr_in address = socket_address({}, 7000);
    ASSERT_EQ(bind(listener.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    ASSERT_EQ(listen(listener.get(), 1), 0);
    Result<std::uint16_t> used = ports.claim("one", "tcp", kAnywhere, {7000, 7000});
    ASSERT_FALSE(used);
    EXPECT_THAT(used.error().message, HasSubstr("address already in use"));
    EXPECT_EQ(must(ports.claim("one", "tcp", kAnywhere, {7000, 7001})), 7001);
  });
}

}  // namespace
}  // namespace berth::network
