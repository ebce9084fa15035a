// SPDX-License-Identifier: Apache-2.0
// Networks with more containers than a bridge has ports.
#include "network/bridge_segments.h"

#include <gmock/gmock.h>

#include "base/file.h"
#include "base/process.h"
#include "network/abandoned.h"
#include "network/test_support.h"

namespace berth::network {
namespace {

using namespace test;

struct Place {
  Sandbox sandbox = must(Sandbox::create());
  Endpoint endpoint;
};

std::vector<Place> attach(BridgeNetwork& network, int count) {
  std::vector<Place> places;
  for (int i = 0; i < count; ++i) {
    Place& place = places.emplace_back();
    place.endpoint = must(network.attach(place.sandbox, {.container = "c" + std::to_string(i)}));
  }
  return places;
}

std::vector<netlink::Link> links_of_kind(std::string_view kind) {
  netlink::Socket netlink = must(netlink::Socket::open());
  std::vector<netlink::Link> links = must(netlink.links());
  std::erase_if(links, [&](const netlink::Link& link) { return link.kind != kind; });
  return links;
}

bool reaches(const Place& from, const Place& to) {
  Fd listening;
  bool reached = false;
  inside(to.sandbox, [&] { listening = listen_at(to.endpoint.address, 80); });
  inside(from.sandbox, [&] { reached = can_connect(to.endpoint.address, 80); });
  return reached;
}

std::string gateway_seen_by(const Place& place) {
  std::string seen;
  inside(place.sandbox, [&] {
    can_connect(place.endpoint.gateway, 81);
    seen = must(run_program({"ip", "neigh", "show", place.endpoint.gateway.text()})).standard_output;
  });
  return seen;
}

TEST(BridgeSegments, JoinWhatDoesNotFitOnOneBridge) {
  on_own_host([] {
    auto network = must(BridgeNetwork::open({.ports = 3}));
    std::vector<Place> places = attach(*network, 9);
    EXPECT_EQ(links_of_kind("bridge").size(), 3u);
    EXPECT_TRUE(reaches(places[0], places[6]));
    EXPECT_TRUE(reaches(places[6], places[0]));
    EXPECT_TRUE(reaches(places[4], places[6])) << "from one segment to another";
    Fd listening = listen_at(network->gateway(), 81);
    inside(places[6].sandbox, [&] { EXPECT_TRUE(can_connect(network->gateway(), 81)); });
    for (const Place& place : places)
      EXPECT_THAT(gateway_seen_by(place),
                  testing::HasSubstr(netlink::format_mac(mac_for(network->gateway()))))
          << "a segment says that it is the gateway";
    // Room that was given back is used before there is another.
    places.erase(places.begin() + 3);
    for (int i = 0; i < 500 && links_of_kind("veth").size() > 8 + 2 * 2; ++i) usleep(10'000);
    std::vector<Place> later = attach(*network, 1);
    EXPECT_EQ(links_of_kind("bridge").size(), 3u);
    EXPECT_TRUE(reaches(later[0], places.back()));
  });
}

// A host behind this one, which knows the way to none of this one's networks. Its address is 10.7.0.2.
Sandbox make_outside() {
  Sandbox outside = must(Sandbox::create());
  netlink::Socket netlink = must(netlink::Socket::open());
  netlink::Batch wire, address, plug;
  wire.create_veth("wire", {.up = true}, {.name = "plug", .namespace_descriptor = outside.descriptor()});
  must(netlink.execute(wire));
  address.add_address(must(netlink.find_link("wire"))->index, *Ipv4Prefix::parse("10.7.0.1/24"));
  must(netlink.execute(address));
  const std::uint32_t index = must(outside.netlink().find_link("plug"))->index;
  plug.change_link(index, {.up = true});
  plug.add_address(index, *Ipv4Prefix::parse("10.7.0.2/24"));
  must(outside.netlink().execute(plug));
  must(write_existing("/proc/sys/net/ipv4/ip_forward", "1"));
  return outside;
}

// br_netfilter, which Docker loads, has the rules called for packets on every bridge that they pass.
TEST(BridgeSegments, LeadOutAndToPublishedPortsAlsoWithTheBridgeFilter) {
  on_own_host([] {
    const std::string called = "/proc/sys/net/bridge/bridge-nf-call-iptables";
    if (!exists(called)) GTEST_SKIP() << "SKIP: there is no br_netfilter";
    Sandbox outside = make_outside();
    auto network = must(BridgeNetwork::open({.ports = 1}));
    auto firewall = must(Firewall::open("segments"));
    must(firewall->add_bridge({network->name(), network->subnet()}));
    must(firewall->load());
    Fd there, here;
    inside(outside, [&] { there = listen_at(*Ipv4Address::parse("10.7.0.2"), 80); });
    std::vector<Place> places = attach(*network, 3);
    inside(places[0].sandbox, [&] { here = listen_at(places[0].endpoint.address, 80); });
    must(firewall->publish({{"tcp", {}, 8080, places[0].endpoint.address, 80, 1}}));
    for (const char* on : {"0", "1"}) {
      must(write_existing(called, on));
      for (const Place& from : places)
        inside(from.sandbox, [&] {
          EXPECT_TRUE(can_connect(*Ipv4Address::parse("10.7.0.2"), 80)) << "out, " << on;
          EXPECT_TRUE(can_connect(network->gateway(), 8080)) << "to a published port, " << on;
        });
      EXPECT_TRUE(reaches(places[2], places[1]) && reaches(places[0], places[2])) << on;
      Fd published;
      inside(places[2].sandbox, [&] { published = listen_at(places[2].endpoint.address, 80); });
      must(firewall->publish({{"tcp", {}, 8081, places[2].endpoint.address, 80, 1}}));
      EXPECT_TRUE(can_connect(*Ipv4Address::parse("127.0.0.1"), 8081)) << on;
      inside(outside, [&] { EXPECT_TRUE(can_connect(*Ipv4Address::parse("10.7.0.1"), 8081)) << on; });
      inside(places[0].sandbox, [&] { EXPECT_TRUE(can_connect(network->gateway(), 8081)) << on; });
      must(firewall->withdraw({{"tcp", {}, 8081, places[2].endpoint.address, 80, 1}}));
    }
  });
}

// A container on an internal network writes to the segment's own hardware address, so that its packets come
// to the host by another interface than the network's bridge.
TEST(BridgeSegments, AreNoWayPastTheRules) {
  on_own_host([] {
    auto network = must(BridgeNetwork::open({.ports = 1}));
    auto firewall = must(Firewall::open("segments"));
    must(firewall->add_bridge({network->name(), network->subnet(), true, true}));
    Sandbox outside = make_outside();
    inside(outside, [&] { (void)must(run_program({"ip", "route", "add", "default", "via", "10.7.0.1"})); });
    Fd listening;
    inside(outside, [&] { listening = listen_at(*Ipv4Address::parse("10.7.0.2"), 80); });

    std::vector<Place> places = attach(*network, 2);
    std::string segment;
    for (const netlink::Link& link : links_of_kind("bridge"))
      if (link.name.starts_with(kSegmentPrefix)) segment = netlink::format_mac(*link.mac);
    ASSERT_NE(segment, "");
    auto tries = [&] {
      bool reached = false;
      inside(places[1].sandbox, [&] {
        (void)must(run_program({"ip", "neigh", "replace", network->gateway().text(), "lladdr", segment, "dev",
                                "eth0", "nud", "permanent"}));
        reached = can_connect(*Ipv4Address::parse("10.7.0.2"), 80);
      });
      return reached;
    };
    EXPECT_TRUE(tries()) << "without rules: the attack is none";
    must(firewall->load());
    EXPECT_FALSE(tries());
  });
}

TEST(BridgeSegments, AreFoundAgainAndGoWithTheNetwork) {
  on_own_host([] {
    std::vector<Place> places;
    {
      auto network = must(BridgeNetwork::open({.ports = 2}));
      places = attach(*network, 3);
    }
    auto network = must(BridgeNetwork::open({.ports = 2}));
    EXPECT_TRUE(network->found_interface(places[2].endpoint));
    std::set<std::string> known;
    for (const Place& place : places) known.insert(place.endpoint.host_interface_name);
    network->remove_others_found(known);
    EXPECT_TRUE(reaches(places[0], places[2])) << "the trunk was taken for a container's";
    for (const Place& place : places) must(network->reserve(place.endpoint.address, "before"));
    EXPECT_TRUE(reaches(attach(*network, 1)[0], places[0]));
    places.clear();
    must(network->remove());
    EXPECT_TRUE(links_of_kind("bridge").empty());
    for (int i = 0; i < 500 && !links_of_kind("veth").empty(); ++i) usleep(10'000);
    EXPECT_TRUE(links_of_kind("veth").empty());
  });
}

TEST(BridgeSegments, AreFinishedThatAKillLeftHalfDone) {
  on_own_host([] {
    must(BridgeNetwork::open({.owner = "killed", .ports = 1}));
    netlink::Socket netlink = must(netlink::Socket::open());
    netlink::Batch make, mark;
    make.create_bridge("berths-half", {});
    must(netlink.execute(make));
    mark.set_alias(must(netlink.find_link("berths-half"))->index, segment_mark(bridge_mark("killed")));
    must(netlink.execute(mark));
    auto network = must(BridgeNetwork::open({.owner = "killed", .ports = 1}));
    std::vector<Place> places = attach(*network, 2);
    EXPECT_EQ(links_of_kind("bridge").size(), 2u) << "the one that is there is used";
    EXPECT_TRUE(reaches(places[0], places[1]));
    EXPECT_THAT(gateway_seen_by(places[1]),
                testing::HasSubstr(netlink::format_mac(mac_for(network->gateway()))));
  });
}

TEST(BridgeSegments, KeepContainersApartAsTheirNetworkDoes) {
  on_own_host([] {
    auto network = must(BridgeNetwork::open({.isolated = true, .ports = 2}));
    std::vector<Place> places = attach(*network, 5);
    EXPECT_FALSE(reaches(places[0], places[1]));
    EXPECT_FALSE(reaches(places[1], places[2])) << "towards a later segment";
    EXPECT_FALSE(reaches(places[2], places[3]));
    EXPECT_FALSE(reaches(places[4], places[3])) << "towards one before";
    EXPECT_FALSE(reaches(places[4], places[0]));
    Fd listening = listen_at(network->gateway(), 81);
    for (const Place& place : places)
      inside(place.sandbox, [&] { EXPECT_TRUE(can_connect(network->gateway(), 81)); });
    network.reset();
    network = must(BridgeNetwork::open({.isolated = false, .ports = 2}));
    EXPECT_TRUE(reaches(places[3], places[2]));  // not the pair whose question for an address just failed
    network.reset();
    network = must(BridgeNetwork::open({.isolated = true, .ports = 2}));
    EXPECT_FALSE(reaches(places[2], places[3]));
    inside(places[3].sandbox, [&] { EXPECT_TRUE(can_connect(network->gateway(), 81)); });
  });
}

TEST(BridgeSegments, OfDeadEnginesAreClearedAwayOnceNobodyUsesThem) {
  on_own_host([] {
    netlink::Socket netlink = must(netlink::Socket::open());
    std::vector<Place> places;
    {
      auto network = must(BridgeNetwork::open({.owner = "dead", .ports = 1}));
      places = attach(*network, 2);
    }
    places.erase(places.begin());  // the one that is left is on a segment
    for (int i = 0; i < 500 && links_of_kind("veth").size() > 3; ++i) usleep(10'000);
    remove_abandoned_bridges(netlink, "later", {});
    EXPECT_EQ(links_of_kind("bridge").size(), 2u);
    places.clear();
    for (int i = 0; i < 500 && links_of_kind("veth").size() > 2; ++i) usleep(10'000);
    remove_abandoned_bridges(netlink, "later", {});
    EXPECT_TRUE(links_of_kind("bridge").empty());
    EXPECT_TRUE(links_of_kind("veth").empty());
  });
}

}  // namespace
}  // namespace berth::network
