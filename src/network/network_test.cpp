// SPDX-License-Identifier: Apache-2.0
#include <arpa/inet.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <set>
#include <thread>

#include "base/file.h"
#include "base/process.h"
#include "network/abandoned.h"
#include "network/bridge.h"
#include "network/firewall.h"
#include "network/forwarding.h"
#include "network/ports.h"
#include "network/sandbox.h"

namespace berth::network {
namespace {

using testing::HasSubstr;
using testing::Not;

template <class T>
T must(Result<T> result) {
  if (!result) throw std::runtime_error(result.error().message);
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

template <class Body>
void on_a_thread(Body body) {
  std::thread([&] {
    try {
      body();
    } catch (const std::exception& exception) {
      ADD_FAILURE() << exception.what();
    }
  }).join();
}

// The host of a test is a network namespace of its own; the machine's is never touched.
template <class Body>
void on_own_host(Body body) {
  on_a_thread([&] {
    ASSERT_EQ(unshare(CLONE_NEWNET), 0) << "this test needs CAP_SYS_ADMIN";
    body();
  });
}

template <class Body>
void inside(const Sandbox& sandbox, Body body) {
  on_a_thread([&] {
    ASSERT_EQ(setns(sandbox.descriptor(), CLONE_NEWNET), 0);
    body();
  });
}

sockaddr_in socket_address(Ipv4Address address, std::uint16_t port) {
  sockaddr_in made{};
  made.sin_family = AF_INET;
  made.sin_port = htons(port);
  made.sin_addr.s_addr = htonl(address.value);
  return made;
}

Fd listen_at(Ipv4Address address, std::uint16_t port) {
  Fd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in where = socket_address(address, port);
  EXPECT_EQ(bind(socket.get(), reinterpret_cast<sockaddr*>(&where), sizeof where), 0) << errno;
  EXPECT_EQ(listen(socket.get(), 100), 0);
  return socket;
}

bool can_connect(Ipv4Address address, std::uint16_t port) {
  Fd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr_in where = socket_address(address, port);
  if (connect(socket.get(), reinterpret_cast<sockaddr*>(&where), sizeof where) == 0) return true;
  pollfd polled{socket.get(), POLLOUT, 0};
  int error = 0;
  socklen_t size = sizeof error;
  return poll(&polled, 1, 3000) == 1 && getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, &error, &size) == 0 &&
         error == 0;
}

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

// As an engine begins: it claims its bridges, clears away others' and has a table.
struct OneEngine {
  Fd claim;
  std::unique_ptr<Firewall> firewall;
  std::unique_ptr<BridgeNetwork> network;
};
OneEngine begin_engine(const std::string& owner) {
  OneEngine engine;
  engine.claim = must(claim_bridges(owner));
  netlink::Socket netlink = must(netlink::Socket::open());
  remove_abandoned_bridges(netlink, owner, {""});
  engine.firewall = must(Firewall::open(owner));
  engine.network = must(BridgeNetwork::open({.owner = owner}));
  must(engine.firewall->add_bridge({engine.network->name(), engine.network->subnet()}));
  must(engine.firewall->load());
  return engine;
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
         {"flush ruleset", "delete table ip berth_flushed", "flush table ip berth_flushed"}) {
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
  const std::size_t ipv4 = text.find("table ip berth {");
  EXPECT_THAT(text.substr(ipv4),
              HasSubstr("meta oifkind { \"bridge\", \"tun\", \"wireguard\" } accept\n    drop"));
  EXPECT_THAT(text.substr(0, ipv4), Not(HasSubstr("oifkind")));
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
  const std::string ipv6 = text.substr(0, text.find("table ip berth {"));
  EXPECT_THAT(ipv6, HasSubstr("iifname \"plain\" oifname != \"plain\" drop"));
  EXPECT_THAT(ipv6, HasSubstr("iifname != \"plain\" oifname \"plain\" drop"));
  EXPECT_THAT(ipv6, Not(HasSubstr("nat"))) << "a kernel need not be able to";
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
