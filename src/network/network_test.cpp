// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include <set>
#include <thread>

#include "base/file.h"
#include "base/process.h"
#include "network/bridge.h"
#include "network/test_support.h"

namespace berth::network {
namespace {

using namespace test;
using testing::HasSubstr;

TEST(Sandbox, HasOnlyALoopbackThatIsUp) {
  Sandbox sandbox = must(Sandbox::create());
  auto links = must(sandbox.netlink().links());
  ASSERT_EQ(links.size(), 1u);
  EXPECT_EQ(links[0].name, "lo");
  EXPECT_TRUE(links[0].up);
  inside(sandbox, [] {
    Fd listening = listen_at(*Ipv4Address::parse("127.0.0.1"), 80);
    EXPECT_TRUE(can_connect(*Ipv4Address::parse("127.0.0.1"), 80));
  });
}

TEST(SandboxPool, HandsOutDifferentOnesAndRefills) {
  SandboxPool pool(2);
  for (int i = 0; i < 1000 && pool.ready() < 2; ++i) usleep(1000);
  ASSERT_EQ(pool.ready(), 2u);
  std::vector<Sandbox> taken;
  std::set<ino_t> inodes;
  for (int i = 0; i < 5; ++i) {
    taken.push_back(must(pool.take()));
    struct stat info;
    ASSERT_EQ(fstat(taken.back().descriptor(), &info), 0);
    inodes.insert(info.st_ino);
  }
  EXPECT_EQ(inodes.size(), 5u);
  for (int i = 0; i < 1000 && pool.ready() < 2; ++i) usleep(1000);
  EXPECT_EQ(pool.ready(), 2u);
}

TEST(BridgeNetwork, ConnectsContainersWithEachOtherAndTheHost) {
  on_own_host([] {
    auto network = must(BridgeNetwork::open({}));
    EXPECT_EQ(network->name(), "berth0");
    EXPECT_EQ(network->subnet().text(), "172.17.0.0/16");
    Sandbox first = must(Sandbox::create()), second = must(Sandbox::create());
    Endpoint one = must(network->attach(first, {.container = "one"}));
    Endpoint two = must(network->attach(second, {.container = "two"}));
    EXPECT_EQ(one.address.text(), "172.17.0.2");
    EXPECT_EQ(netlink::format_mac(one.mac), "02:42:ac:11:00:02");
    EXPECT_EQ(one.gateway.text(), "172.17.0.1");
    EXPECT_EQ(two.address.text(), "172.17.0.3");

    Fd listening, at_gateway = listen_at(network->gateway(), 81);
    inside(first, [&] { listening = listen_at(one.address, 80); });
    EXPECT_TRUE(can_connect(one.address, 80));
    inside(second, [&] {
      EXPECT_TRUE(can_connect(one.address, 80));
      EXPECT_TRUE(can_connect(network->gateway(), 81));
      std::vector<netlink::Route> routes = must(second.netlink().routes());
      EXPECT_TRUE(std::any_of(routes.begin(), routes.end(), [&](const netlink::Route& route) {
        return route.destination.length == 0 && route.gateway == network->gateway();
      }));
    });
  });
}

TEST(BridgeNetwork, AttachesPreparedSandboxes) {
  on_own_host([] {
    auto network = must(BridgeNetwork::open({}));
    SandboxPool pool(2, [&](Sandbox& sandbox) { return network->prepare(sandbox); });
    for (int i = 0; i < 5000 && pool.ready() < 2; ++i) usleep(1000);
    Sandbox first = must(pool.take()), second = must(pool.take());
    ASSERT_TRUE(first.prepared && second.prepared);
    const std::string host_name = first.prepared->host_name;
    Endpoint one = must(network->attach(first, {.container = "one"}));
    must(network->attach(second, {.container = "two"}));
    EXPECT_FALSE(first.prepared);
    EXPECT_EQ(one.host_interface_name, host_name);
    EXPECT_EQ(must(first.netlink().find_link("eth0"))->mac, one.mac);
    Fd listening;
    inside(first, [&] { listening = listen_at(one.address, 80); });
    inside(second, [&] { EXPECT_TRUE(can_connect(one.address, 80)); });
  });
}

// Attaching returns before the kernel's link watcher has run; a packet that is sent before that would be
// dropped, and sent again a second later.
TEST(BridgeNetwork, DeliversTheFirstPacketAfterAttaching) {
  on_own_host([] {
    auto network = must(BridgeNetwork::open({}));
    Fd at_gateway = listen_at(network->gateway(), 80);
    std::vector<Sandbox> sandboxes;
    for (int i = 0; i < 20; ++i) {
      Sandbox& sandbox = sandboxes.emplace_back(must(Sandbox::create()));
      must(network->attach(sandbox, {.container = "c"}));
      inside(sandbox, [&] {
        auto before = std::chrono::steady_clock::now();
        EXPECT_TRUE(can_connect(network->gateway(), 80));
        EXPECT_LT(std::chrono::steady_clock::now() - before, std::chrono::milliseconds(800)) << i;
      });
    }
  });
}

TEST(BridgeNetwork, LosesTheInterfaceWithTheSandbox) {
  on_own_host([] {
    auto network = must(BridgeNetwork::open({}));
    netlink::Socket netlink = must(netlink::Socket::open());
    std::string host_name;
    {
      Sandbox sandbox = must(Sandbox::create());
      host_name = must(network->attach(sandbox, {.container = "c"})).host_interface_name;
      ASSERT_TRUE(must(netlink.find_link(host_name)));
    }
    for (int i = 0; i < 3000 && must(netlink.find_link(host_name)); ++i) usleep(1000);
    EXPECT_FALSE(must(netlink.find_link(host_name)));
  });
}

TEST(BridgeNetwork, FindsItselfAgainAndKeepsReservedAddresses) {
  on_own_host([] {
    Sandbox sandbox = must(Sandbox::create()), later = must(Sandbox::create());
    Endpoint before = must(must(BridgeNetwork::open({}))->attach(sandbox, {.container = "c"}));
    auto again = must(BridgeNetwork::open({}));  // as after kill -9: the first did nothing to end itself
    EXPECT_EQ(again->name(), "berth0");
    must(again->reserve(before.address, "c"));
    EXPECT_FALSE(again->reserve(before.address, "x"));
    Endpoint after = must(again->attach(later, {.container = "d"}));
    EXPECT_NE(after.address, before.address);
    must(again->detach(before, true));
    EXPECT_FALSE(must(must(netlink::Socket::open()).find_link(before.host_interface_name)));
    must(again->detach(before, true));  // once more does no harm
  });
}

TEST(BridgeNetwork, EvadesForeignDevicesAndSubnets) {
  on_own_host([] {
    netlink::Socket netlink = must(netlink::Socket::open());
    netlink::Batch batch;
    batch.create_bridge("berth0", {});
    batch.create_bridge("d0", {.up = true});
    must(netlink.execute(batch));
    netlink::Batch address;
    address.add_address(must(netlink.find_link("d0"))->index, *Ipv4Prefix::parse("172.17.5.1/24"));
    address.add_route({*Ipv4Prefix::parse("172.18.0.0/15"), *Ipv4Address::parse("172.17.5.9"), 0});
    must(netlink.execute(address));
    auto network = must(BridgeNetwork::open({}));
    EXPECT_EQ(network->name(), "berth1");
    EXPECT_EQ(network->subnet().text(), "172.20.0.0/16");
    network.reset();
    network = must(BridgeNetwork::open({}));
    EXPECT_EQ(network->name(), "berth1");  // not berth2
    auto other = must(BridgeNetwork::open({.owner = "another"}));
    EXPECT_EQ(other->name(), "berth2");
    EXPECT_EQ(other->subnet().text(), "172.21.0.0/16");
    must(network->remove());
    EXPECT_FALSE(must(netlink.find_link("berth1")));
  });
}

TEST(Claims, AreHeldOnceAnOwner) {
  on_own_host([] {
    Fd claim = must(claim_bridges("berth"));
    EXPECT_EQ(claim_bridges("berth").error().kind, ErrorKind::conflict);
    must(claim_bridges("another"));
    claim.reset();
    must(claim_bridges("berth"));
  });
}

TEST(BridgeNetwork, ClearsAwayWhatDeadEnginesHaveLeft) {
  on_own_host([] {
    netlink::Socket netlink = must(netlink::Socket::open());
    OneEngine alive = begin_engine("alive");
    Sandbox sandbox = must(Sandbox::create());
    must(begin_engine("hosts").network->attach(sandbox, {.container = "c"}));
    // Killed as well, but a container runs on: its other bridge stays, and the rules of both.
    must(BridgeNetwork::open({.name = "br-6", .owner = "hosts", .network = "6"}));
    {
      OneEngine dead = begin_engine("dead");
      must(BridgeNetwork::open({.name = "br-7", .owner = "dead", .network = "7"}));
    }
    netlink::Batch batch;
    batch.create_bridge("strange", {});
    must(netlink.execute(batch));
    EXPECT_THAT(must(run_program({"nft", "list", "tables"})).standard_output, HasSubstr("berth_dead"));

    must(BridgeNetwork::open({.name = "br-8", .owner = "later", .network = "8"}));  // no record says so
    OneEngine later = begin_engine("later");
    EXPECT_THAT(must(run_program({"nft", "list", "tables"})).standard_output, HasSubstr("berth_hosts"));
    std::set<std::string> names;
    for (const netlink::Link& link : must(netlink.links()))
      if (link.kind == "bridge") names.insert(link.alias.empty() ? link.name : link.alias);
    EXPECT_EQ(names,
              (std::set<std::string>{"berth network of alive", "berth network of hosts",
                                     "berth network of hosts/6", "berth network of later", "strange"}));
    EXPECT_THAT(must(run_program({"nft", "list", "tables"})).standard_output, Not(HasSubstr("berth_dead")));
  });
}

// The gateway forwards between containers for whoever sends it a neighbour's packets, which takes a raw
// socket or, as here, a route: isolated ports alone do not stop that.
TEST(BridgeNetwork, KeepsContainersApartWhenToldTo) {
  on_own_host([] {
    (void)write_existing("/proc/sys/net/bridge/bridge-nf-call-iptables", "0");  // on in a new namespace
    auto network = must(BridgeNetwork::open({.isolated = true}));
    auto firewall = must(Firewall::open("apart"));
    must(firewall->add_bridge({network->name(), network->subnet(), true, false, true}));
    must(firewall->load());
    Sandbox first = must(Sandbox::create()), second = must(Sandbox::create());
    Endpoint one = must(network->attach(first, {.container = "one"}));
    Endpoint two = must(network->attach(second, {.container = "two"}));
    must(firewall->publish({{"tcp", {}, 8080, one.address, 80, 1}}));
    Fd listening, at_gateway = listen_at(network->gateway(), 81);
    inside(first, [&] { listening = listen_at(one.address, 80); });
    EXPECT_TRUE(can_connect(one.address, 80)) << "the host reaches it";
    inside(second, [&] {
      EXPECT_TRUE(can_connect(network->gateway(), 81));
      EXPECT_TRUE(can_connect(network->gateway(), 8080)) << "a published port is for all";
      EXPECT_FALSE(can_connect(one.address, 80));
      netlink::Batch around, back;
      around.add_route({{one.address, 32}, network->gateway(), 0});
      back.add_route({{two.address, 32}, network->gateway(), 0});
      must(second.netlink().execute(around));
      must(first.netlink().execute(back));
      EXPECT_FALSE(can_connect(one.address, 80)) << "through the gateway";
    });
  });
}

TEST(BridgeNetwork, IsolatesAndJoinsThePortsThatAreThere) {
  on_own_host([] {
    Sandbox first = must(Sandbox::create()), second = must(Sandbox::create());
    auto open = [](bool isolated) { return must(BridgeNetwork::open({.isolated = isolated})); };
    auto network = open(false);
    Endpoint one = must(network->attach(first, {.container = "one"}));
    must(network->attach(second, {.container = "two"}));
    Fd listening;
    inside(first, [&] { listening = listen_at(one.address, 80); });
    auto reached = [&] {
      bool yes = false;
      inside(second, [&] { yes = can_connect(one.address, 80); });
      return yes;
    };
    EXPECT_TRUE(reached());
    network = open(true);  // as an engine that is set up otherwise begins
    EXPECT_FALSE(reached());
    network = open(false);
    EXPECT_TRUE(reached());
  });
}

TEST(BridgeNetwork, IsInUseWhileAnAddressIsLeased) {
  on_own_host([] {
    auto network = must(BridgeNetwork::open({}));
    EXPECT_FALSE(network->in_use());
    Sandbox sandbox = must(Sandbox::create());
    Endpoint endpoint = must(network->attach(sandbox, {.container = "c"}));
    EXPECT_TRUE(network->in_use());
    must(network->detach(endpoint));
    EXPECT_FALSE(network->in_use());
  });
}

TEST(BridgeNetwork, MovesToAnotherSubnetWhenToldTo) {
  on_own_host([] {
    must(BridgeNetwork::open({}));
    auto network = must(BridgeNetwork::open(
        {.subnet = Ipv4Prefix::parse("10.5.0.0/24"), .gateway = Ipv4Address::parse("10.5.0.254")}));
    EXPECT_EQ(network->gateway().text(), "10.5.0.254");
    auto addresses = must(must(netlink::Socket::open()).addresses());
    ASSERT_EQ(addresses.size(), 1u);
    EXPECT_EQ(addresses[0].address.text(), "10.5.0.254/24");
    must(network->reserve(*Ipv4Address::parse("172.17.0.2"), "c"));  // of before: not ours any more
    EXPECT_FALSE(BridgeNetwork::open({.subnet = Ipv4Prefix::parse("10.5.0.0/31")}));
    EXPECT_FALSE(BridgeNetwork::open({.gateway = Ipv4Address::parse("10.99.0.1")}));
  });
}

TEST(BridgeNetwork, TakesWantedAddressesAndGivesThemBackOnFailure) {
  on_own_host([] {
    auto network = must(BridgeNetwork::open({}));
    Sandbox sandbox = must(Sandbox::create());
    AttachRequest wanted{.container = "c", .address = Ipv4Address::parse("172.17.9.9")};
    EXPECT_EQ(must(network->attach(sandbox, wanted)).address.text(), "172.17.9.9");
    Result<Endpoint> taken =
        network->attach(sandbox, {.container = "d", .address = Ipv4Address::parse("172.17.9.9")});
    ASSERT_FALSE(taken);
    EXPECT_EQ(taken.error().kind, ErrorKind::conflict);
    // eth0 exists already: the address that was allocated must come back.
    ASSERT_FALSE(network->attach(sandbox, {.container = "c", .address = Ipv4Address::parse("172.17.9.10")}));
    must(network->reserve(*Ipv4Address::parse("172.17.9.10"), "another"));
    for (const char* bad : {"172.17.0.0", "172.17.255.255", "172.17.0.1", "10.0.0.1"})
      EXPECT_FALSE(network->attach(sandbox, {.container = "c", .address = Ipv4Address::parse(bad)})) << bad;
    EXPECT_FALSE(BridgeNetwork::open({.name = "a\"b"}));
  });
}

TEST(BridgeNetwork, KeepsAReservedAddressForItsContainer) {
  on_own_host([] {
    auto network = must(BridgeNetwork::open(
        {.ipv6 = Ipv6Subnet{*Ipv6Prefix::parse("fd00::/64"), *Ipv6Address::parse("fd00::1"), {}}}));
    const auto v4 = Ipv4Address::parse("172.17.0.2");
    const auto v6 = Ipv6Address::parse("fd00::2");
    must(network->reserve(*v4, "c"));
    must(network->reserve(*v6, "c"));
    Sandbox first = must(Sandbox::create()), second = must(Sandbox::create()),
            third = must(Sandbox::create());
    Endpoint other = must(network->attach(first, {.container = "d"}));
    EXPECT_EQ(other.address.text(), "172.17.0.3");
    EXPECT_EQ(other.ipv6->address.text(), "fd00::3");
    Endpoint own = must(network->attach(second, {.container = "c", .address = v4, .address6 = v6}));
    EXPECT_EQ(own.address, *v4);
    EXPECT_EQ(own.ipv6->address, *v6);
    must(network->reserve(*Ipv4Address::parse("172.17.0.9"), "late"));
    network->forget("late");
    EXPECT_TRUE(network->attach(third, {.container = "e", .address = Ipv4Address::parse("172.17.0.9")}));
  });
}

TEST(BridgeNetwork, AttachesManyAtOnceToDifferentAddresses) {
  on_own_host([] {
    auto network = must(BridgeNetwork::open({}));
    std::mutex mutex;
    std::set<std::uint32_t> addresses;
    std::vector<std::jthread> threads;
    for (int i = 0; i < 8; ++i)
      threads.emplace_back([&] {
        for (int j = 0; j < 4; ++j) {
          Result<Sandbox> sandbox = Sandbox::create();
          ASSERT_TRUE(sandbox);
          Result<Endpoint> endpoint = network->attach(*sandbox, {.container = "c"});
          ASSERT_TRUE(endpoint) << endpoint.error().message;
          std::lock_guard lock(mutex);
          addresses.insert(endpoint->address.value);
        }
      });
    threads.clear();
    EXPECT_EQ(addresses.size(), 32u);
  });
}

TEST(BridgeNetwork, UsesAForeignBridgeThatTheUserNamesAndLeavesItAsItIs) {
  on_own_host([] {
    netlink::Socket netlink = must(netlink::Socket::open());
    netlink::Batch batch;
    batch.create_bridge("lan", {});
    batch.create_veth("wire", {}, {.name = "end"});
    must(netlink.execute(batch));
    const std::uint32_t lan = must(netlink.find_link("lan"))->index;
    EXPECT_THAT(BridgeNetwork::open({.name = "lan", .named_by_user = true}).error().message,
                HasSubstr("no IPv4 address"));
    EXPECT_THAT(BridgeNetwork::open({.name = "wire", .named_by_user = true}).error().message,
                HasSubstr("is no bridge"));
    netlink::Batch addresses;
    addresses.add_address(lan, *Ipv4Prefix::parse("10.7.0.1/24"));
    addresses.add_address(lan, *Ipv4Prefix::parse("10.8.0.1/24"));
    must(netlink.execute(addresses));
    const auto before = must(netlink.addresses()).size();
    {
      auto network = must(BridgeNetwork::open({.name = "lan", .named_by_user = true}));
      EXPECT_EQ(network->name(), "lan");
      EXPECT_TRUE(network->subnet().text() == "10.7.0.0/24" || network->subnet().text() == "10.8.0.0/24");
      Sandbox sandbox = must(Sandbox::create());
      must(network->attach(sandbox, {.container = "c"}));
      must(network->remove());
    }
    EXPECT_EQ(must(netlink.addresses()).size(), before);
    EXPECT_EQ(must(netlink.find_link("lan"))->alias, "");
    auto ours = must(BridgeNetwork::open({.name = "own", .network = "1"}));
    EXPECT_THAT(BridgeNetwork::open({.name = "own", .named_by_user = true, .network = "2"}).error().message,
                HasSubstr("another network's"));
  });
}

TEST(BridgeNetwork, HasNoIpv6OnTheHostWithoutASubnetOfIt) {
  on_own_host([] {
    auto ipv6_of = [](const std::string& bridge) {
      netlink::Socket netlink = must(netlink::Socket::open());
      const std::uint32_t index = must(netlink.find_link(bridge))->index;
      std::vector<std::string> found;
      for (const netlink::InterfaceAddress6& one : must(netlink.ipv6_addresses()))
        if (one.interface == index && one.address.address.bytes[0] != 0xfe)
          found.push_back(one.address.text());
      return found;
    };
    auto with = [](const char* subnet) {
      const Ipv6Prefix prefix = *Ipv6Prefix::parse(subnet);
      return BridgeSettings{.ipv6 = Ipv6Subnet{prefix, prefix.host(1), std::nullopt}};
    };
    must(BridgeNetwork::open(with("fd10::/64")));
    EXPECT_THAT(ipv6_of("berth0"), testing::ElementsAre("fd10::1/64"));
    must(BridgeNetwork::open(with("fd11::/64")));
    EXPECT_THAT(ipv6_of("berth0"), testing::ElementsAre("fd11::1/64"));
    must(BridgeNetwork::open({}));
    EXPECT_THAT(ipv6_of("berth0"), testing::ElementsAre());
    EXPECT_EQ(must(read_file("/proc/sys/net/ipv6/conf/berth0/disable_ipv6")), "1\n");
  });
}

TEST(BridgeNetwork, LeavesNoBridgeOfAnOpeningThatFailed) {
  on_own_host([] {
    BridgeSettings settings{.subnet = Ipv4Prefix::parse("10.9.0.0/24"),
                            .excluded = {*Ipv4Address::parse("10.10.0.1")}};
    EXPECT_FALSE(BridgeNetwork::open(settings));
    netlink::Socket netlink = must(netlink::Socket::open());
    EXPECT_FALSE(must(netlink.find_link("berth0")));
  });
}

// An address and routes of IPv6 for each would make every next one slower.
TEST(BridgeNetwork, ItsPortsHaveNoIpv6OfTheirOwn) {
  on_own_host([] {
    auto network = must(BridgeNetwork::open({}));
    Sandbox sandbox = must(Sandbox::create());
    const Endpoint endpoint = must(network->attach(sandbox, {.container = "one"}));
    EXPECT_EQ(must(read_file("/proc/sys/net/ipv6/conf/" + endpoint.host_interface_name + "/disable_ipv6")),
              "1\n");
    EXPECT_EQ(must(run_program({"ip", "-6", "address", "show", "dev", endpoint.host_interface_name}))
                  .standard_output,
              "");
  });
}

TEST(BridgeNetwork, RemovesInterfacesThatNobodyRecorded) {
  on_own_host([] {
    Sandbox recorded = must(Sandbox::create()), unrecorded = must(Sandbox::create());
    Endpoint known, unknown;
    {
      auto network = must(BridgeNetwork::open({}));
      known = must(network->attach(recorded, {.container = "a"}));
      unknown = must(network->attach(unrecorded, {.container = "b"}));
    }
    auto network = must(BridgeNetwork::open({}));
    EXPECT_TRUE(network->found_interface(known));
    Sandbox later = must(Sandbox::create());
    Endpoint fresh = must(network->attach(later, {.container = "c"}));
    network->remove_others_found({known.host_interface_name});
    netlink::Socket netlink = must(netlink::Socket::open());
    EXPECT_TRUE(must(netlink.find_link(known.host_interface_name)));
    EXPECT_TRUE(must(netlink.find_link(fresh.host_interface_name)));
    EXPECT_FALSE(must(netlink.find_link(unknown.host_interface_name)));
  });
}

}  // namespace
}  // namespace berth::network
