// SPDX-License-Identifier: Apache-2.0
#include "network/macvlan.h"

#include <gmock/gmock.h>

#include "network/test_support.h"

namespace berth::network {
namespace {

using namespace test;
using testing::HasSubstr;

// The host of a test is a network namespace of its own, in which "wire" is the parent; what is plugged in at
// its other end is in `outside`.
template <class Body>
void on_a_wire(Body body) {
  on_own_host([&] {
    Sandbox outside = must(Sandbox::create());
    netlink::Socket netlink = must(netlink::Socket::open());
    netlink::Batch pair;
    pair.create_veth("wire", {.up = true}, {.name = "plug", .namespace_descriptor = outside.descriptor()});
    must(netlink.execute(pair));
    netlink::Batch plug;
    const std::uint32_t index = must(outside.netlink().find_link("plug"))->index;
    plug.change_link(index, {.up = true});
    plug.add_address(index, *Ipv4Prefix::parse("10.7.0.1/24"));
    must(outside.netlink().execute(plug));
    body(netlink, outside);
  });
}

Fd listen_in(const Sandbox& sandbox, Ipv4Address address) {
  Fd listening;
  inside(sandbox, [&] { listening = listen_at(address, 80); });
  return listening;
}

bool connects(const Sandbox& from, Ipv4Address address) {
  bool connected = false;
  inside(from, [&] { connected = can_connect(address, 80); });
  return connected;
}

MacvlanSettings on_wire(const char* subnet = "10.7.0.0/24", const char* gateway = "10.7.0.1") {
  return {.parent = "wire", .subnet = *Ipv4Prefix::parse(subnet), .gateway = *Ipv4Address::parse(gateway)};
}

TEST(MacvlanMode, IsOneOfFourAndABridgeWithoutAWord) {
  EXPECT_EQ(parse_macvlan_mode("").value(), MacvlanMode::bridge);
  EXPECT_EQ(parse_macvlan_mode("bridge").value(), MacvlanMode::bridge);
  EXPECT_EQ(parse_macvlan_mode("private").value(), MacvlanMode::isolated);
  EXPECT_EQ(parse_macvlan_mode("vepa").value(), MacvlanMode::vepa);
  EXPECT_EQ(parse_macvlan_mode("passthru").value(), MacvlanMode::passthru);
  EXPECT_THAT(parse_macvlan_mode("source").error().message, HasSubstr("'source' is not valid"));
}

TEST(VlanName, IsAnInterfaceAndANumber) {
  EXPECT_EQ(parse_vlan_name("eth0.10")->parent, "eth0");
  EXPECT_EQ(parse_vlan_name("eth0.10")->id, 10);
  EXPECT_EQ(parse_vlan_name("a.b.4094")->parent, "a.b");
  for (const char* none : {"", "eth0", "eth0.", ".10", "eth0.0", "eth0.4095", "eth0.x", "eth0.1x", "eth0.-1"})
    EXPECT_FALSE(parse_vlan_name(none)) << none;
}

TEST(MacvlanNetwork, MakesContainersNeighboursOnTheWire) {
  on_a_wire([](netlink::Socket& host, Sandbox& outside) {
    auto network = must(MacvlanNetwork::open(on_wire()));
    must(network->make_parent());
    EXPECT_FALSE(network->in_use());
    Sandbox first = must(Sandbox::create()), second = must(Sandbox::create());
    Endpoint one = must(network->attach(first, {.container = "one"}));
    Endpoint two = must(network->attach(second, {.container = "two"}));
    EXPECT_TRUE(network->in_use());
    EXPECT_EQ(one.address.text(), "10.7.0.2");
    EXPECT_EQ(two.address.text(), "10.7.0.3");
    EXPECT_EQ(must(first.netlink().find_link("eth0"))->mac, one.mac);
    EXPECT_EQ(must(first.netlink().find_link("eth0"))->kind, "macvlan");
    EXPECT_FALSE(must(host.find_link("eth0"))) << "it is born in the container's namespace";
    std::vector<netlink::Route> routes = must(first.netlink().routes());
    EXPECT_TRUE(std::any_of(routes.begin(), routes.end(), [&](const netlink::Route& route) {
      return route.destination.length == 0 && route.gateway == one.gateway;
    }));
    Fd listening = listen_in(first, one.address), beyond = listen_in(outside, one.gateway);
    EXPECT_TRUE(connects(second, one.address));
    EXPECT_TRUE(connects(outside, one.address));
    EXPECT_TRUE(connects(second, one.gateway));
  });
}

TEST(MacvlanNetwork, KeepsContainersApartInPrivateMode) {
  on_a_wire([](netlink::Socket&, Sandbox& outside) {
    MacvlanSettings settings = on_wire();
    settings.mode = MacvlanMode::isolated;
    auto network = must(MacvlanNetwork::open(settings));
    Sandbox first = must(Sandbox::create()), second = must(Sandbox::create());
    Endpoint one = must(network->attach(first, {.container = "one"}));
    must(network->attach(second, {.container = "two"}));
    Fd listening = listen_in(first, one.address);
    EXPECT_TRUE(connects(outside, one.address));
    EXPECT_FALSE(connects(second, one.address));
  });
}

TEST(MacvlanNetwork, IsForOneContainerInPassthruMode) {
  on_a_wire([](netlink::Socket& host, Sandbox& outside) {
    MacvlanSettings settings = on_wire();
    settings.mode = MacvlanMode::passthru;
    auto network = must(MacvlanNetwork::open(settings));
    Sandbox first = must(Sandbox::create()), second = must(Sandbox::create());
    const auto mac = must(host.find_link("wire"))->mac;
    EXPECT_THAT(network->attach(first, {.container = "one", .mac = netlink::MacAddress{2, 1, 1, 1, 1, 1}})
                    .error()
                    .message,
                HasSubstr("has the MAC address of wire"));
    Endpoint one = must(network->attach(first, {.container = "one"}));
    EXPECT_EQ(one.mac, mac);
    EXPECT_EQ(must(host.find_link("wire"))->mac, mac);
    EXPECT_THAT(network->attach(second, {.container = "two"}).error().message, HasSubstr("one container"));
    Fd listening = listen_in(first, one.address);
    EXPECT_TRUE(connects(outside, one.address));
    must(MacvlanNetwork::remove_from(first, one));
    network->detach(one);
    must(network->attach(second, {.container = "two"}));
  });
}

// The namespace of a container that has ended, and the link in it, go some time later.
TEST(MacvlanNetwork, WaitsForTheLinkOfTheContainerBefore) {
  on_a_wire([](netlink::Socket&, Sandbox&) {
    for (MacvlanMode mode : {MacvlanMode::bridge, MacvlanMode::passthru}) {
      MacvlanSettings settings = on_wire();
      settings.mode = mode;
      auto network = must(MacvlanNetwork::open(settings));
      for (int round = 0; round < 5; ++round) {
        Sandbox sandbox = must(Sandbox::create());
        network->detach(
            must(network->attach(sandbox, {.container = "c", .address = Ipv4Address::parse("10.7.0.9")})));
      }
    }
  });
}

TEST(MacvlanNetwork, SaysWhatIsWrongWithAParent) {
  on_a_wire([](netlink::Socket& host, Sandbox&) {
    auto message = [](const char* parent) {
      MacvlanSettings settings = on_wire();
      settings.parent = parent;
      Result<void> made = must(MacvlanNetwork::open(settings))->make_parent();
      return made ? "" : made.error().message;
    };
    EXPECT_EQ(message("wire"), "");
    EXPECT_THAT(message("gone"), HasSubstr("the parent interface gone is not on this host"));
    EXPECT_THAT(message("wire.5000"), HasSubstr("wire.5000 is not on this host"));
    EXPECT_THAT(message("gone.10"), HasSubstr("neither gone.10 nor its parent interface gone"));
    netlink::Batch down;
    down.set_down(must(host.find_link("wire"))->index);
    must(host.execute(down));
    auto network = must(MacvlanNetwork::open(on_wire()));
    Sandbox sandbox = must(Sandbox::create());
    EXPECT_THAT(network->attach(sandbox, {.container = "c"}).error().message, HasSubstr("wire is down"));
    EXPECT_FALSE(network->in_use());
  });
}

TEST(MacvlanNetwork, GivesAddressesBackOnFailure) {
  on_a_wire([](netlink::Socket&, Sandbox&) {
    auto network = must(MacvlanNetwork::open(on_wire()));
    Sandbox sandbox = must(Sandbox::create());
    must(network->attach(sandbox, {.container = "c"}));
    const auto wanted = Ipv4Address::parse("10.7.0.9");
    ASSERT_FALSE(network->attach(sandbox, {.container = "c", .address = wanted})) << "eth0 is there already";
    must(network->reserve(*wanted, "another"));
    EXPECT_EQ(network->attach(sandbox, {.container = "c", .address = wanted}).error().kind,
              ErrorKind::conflict);
    for (const char* bad : {"10.7.0.0", "10.7.0.255", "10.7.0.1", "10.8.0.1"})
      EXPECT_FALSE(network->attach(sandbox, {.container = "c", .address = Ipv4Address::parse(bad)})) << bad;
  });
}

TEST(MacvlanNetwork, LeadsNowhereWithoutAParent) {
  on_a_wire([](netlink::Socket& host, Sandbox&) {
    MacvlanSettings settings = on_wire();
    settings.parent = unconnected_parent("0123456789abcdef");
    settings.unconnected = true;
    auto network = must(MacvlanNetwork::open(settings));
    must(network->make_parent());
    EXPECT_TRUE(must(host.find_link("dm-0123456789ab"))->up);
    Sandbox first = must(Sandbox::create()), second = must(Sandbox::create());
    Endpoint one = must(network->attach(first, {.container = "one"}));
    must(network->attach(second, {.container = "two"}));
    for (const netlink::Route& route : must(first.netlink().routes())) EXPECT_GT(route.destination.length, 0);
    Fd listening = listen_in(first, one.address);
    EXPECT_TRUE(connects(second, one.address));
    must(network->remove_parent());
    EXPECT_FALSE(must(host.find_link("dm-0123456789ab")));
    EXPECT_FALSE(must(host.find_link("dp-0123456789ab")));
  });
}

TEST(MacvlanNetwork, TakesOnlyParentsAwayThatWereMade) {
  on_a_wire([](netlink::Socket& host, Sandbox&) {
    must(must(MacvlanNetwork::open(on_wire()))->remove_parent());
    EXPECT_TRUE(must(host.find_link("wire")));
    MacvlanSettings settings = on_wire();
    settings.unconnected = true;
    settings.owner = "gone";
    for (const char* id : {"000000000001", "000000000002"}) {
      settings.parent = unconnected_parent(id);
      must(must(MacvlanNetwork::open(settings))->make_parent());
    }
    remove_abandoned_parents(host, "another", {});
    EXPECT_TRUE(must(host.find_link("dm-000000000001")));
    remove_abandoned_parents(host, "gone", {"dm-000000000002"});
    EXPECT_FALSE(must(host.find_link("dm-000000000001")));
    EXPECT_TRUE(must(host.find_link("dm-000000000002")));
    EXPECT_TRUE(must(host.find_link("wire")));
  });
}

TEST(MacvlanNetwork, MakesTheVlanThatItsParentNames) {
  on_a_wire([](netlink::Socket& host, Sandbox&) {
    MacvlanSettings settings = on_wire();
    settings.parent = "wire.10";
    auto network = must(MacvlanNetwork::open(settings));
    Result<void> made = network->make_parent();
    if (!made && made.error().kind == ErrorKind::unsupported) GTEST_SKIP() << made.error().message;
    must(std::move(made));
    EXPECT_EQ(must(host.find_link("wire.10"))->kind, "vlan");
    EXPECT_TRUE(must(host.find_link("wire.10"))->up);
    Sandbox sandbox = must(Sandbox::create());
    must(network->attach(sandbox, {.container = "c"}));
    must(network->remove_parent());
    EXPECT_FALSE(must(host.find_link("wire.10")));
    EXPECT_TRUE(must(host.find_link("wire")));
  });
}

}  // namespace
}  // namespace berth::network
