// SPDX-License-Identifier: Apache-2.0
#include "netlink/netlink.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/socket.h>

#include "base/file.h"
#include "base/process.h"
#include "netlink/connections.h"
#include "netlink/test_support.h"

namespace berth::netlink {
namespace {

using test::in_own_namespace;
using test::must;
using testing::HasSubstr;

// Another namespace, open for as long as this is held.
Fd another_namespace() {
  Fd made;
  in_own_namespace([&] { made = must(open_file("/proc/thread-self/ns/net", O_RDONLY)); });
  return made;
}

TEST(Netlink, BuildsABridgeWithAnAddressAndARoute) {
  in_own_namespace([] {
    Socket socket = must(Socket::open());
    Batch create;
    create.create_bridge("br0", {.mac = parse_mac("02:42:0a:00:00:01"), .mtu = 1400, .up = true});
    must(socket.execute(create));
    std::optional<Link> link = must(socket.find_link("br0"));
    ASSERT_TRUE(link);
    EXPECT_EQ(link->kind, "bridge");
    EXPECT_EQ(link->mtu, 1400u);
    EXPECT_EQ(format_mac(*link->mac), "02:42:0a:00:00:01");
    EXPECT_TRUE(link->up);

    Batch configure;
    configure.set_alias(link->index, "mine");
    configure.add_address(link->index, *Ipv4Prefix::parse("10.0.0.1/24"));
    configure.add_route({*Ipv4Prefix::parse("10.9.0.0/16"), *Ipv4Address::parse("10.0.0.9"), 0});
    must(socket.execute(configure));
    EXPECT_EQ(must(socket.find_link("br0"))->alias, "mine");
    auto addresses = must(socket.addresses());
    ASSERT_EQ(addresses.size(), 1u);
    EXPECT_EQ(addresses[0].address.text(), "10.0.0.1/24");
    std::vector<std::string> routes;
    for (const Route& route : must(socket.routes())) routes.push_back(route.destination.text());
    EXPECT_THAT(routes, testing::UnorderedElementsAre("10.0.0.0/24", "10.9.0.0/16"));

    Batch undo;
    undo.remove_address(link->index, *Ipv4Prefix::parse("10.0.0.1/24"));
    undo.set_down(link->index);
    undo.rename_link(link->index, "br1");
    undo.delete_link("br1");
    must(socket.execute(undo));
    EXPECT_FALSE(must(socket.find_link("br0")));
    EXPECT_FALSE(must(socket.find_link("br1")));
  });
}

TEST(Netlink, BearsTheVethPeerInTheOtherNamespace) {
  in_own_namespace([] {
    Fd other = another_namespace();
    Socket here = must(Socket::open()), there = must(Socket::open_in(other.get()));
    Batch batch;
    batch.create_veth("host0", {.up = true},
                      {.name = "eth0",
                       .namespace_descriptor = other.get(),
                       .mac = parse_mac("02:42:ac:11:00:02"),
                       .mtu = 1300});
    must(here.execute(batch));
    EXPECT_TRUE(must(here.find_link("host0")));
    EXPECT_FALSE(must(here.find_link("eth0")));
    std::optional<Link> peer = must(there.find_link("eth0"));
    ASSERT_TRUE(peer);
    EXPECT_EQ(peer->mtu, 1300u);
    EXPECT_FALSE(peer->up);
    EXPECT_EQ(format_mac(*peer->mac), "02:42:ac:11:00:02");
    EXPECT_EQ(must(there.links()).size(), 2u);  // lo and eth0
  });
}

TEST(Netlink, NamesTheRequestThatFailed) {
  in_own_namespace([] {
    Socket socket = must(Socket::open());
    Batch batch;
    batch.create_bridge("br0", {});
    batch.create_bridge("br0", {});
    batch.create_bridge("br1", {});
    Result<void> done = socket.execute(batch);
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().code, EEXIST);
    EXPECT_THAT(done.error().message, HasSubstr("create bridge br0"));
    EXPECT_TRUE(must(socket.find_link("br1")));  // the rest was tried, and the socket is still in step
    Batch route;
    route.add_route({{}, *Ipv4Address::parse("10.0.0.1"), 0});
    EXPECT_THAT(socket.execute(route).error().message, HasSubstr("add route 0.0.0.0/0 via 10.0.0.1"));
  });
}

TEST(Netlink, RefusesNamesThatNoInterfaceCanHave) {
  in_own_namespace([] {
    Socket socket = must(Socket::open());
    for (std::string_view name : {"", ".", "..", "a/b", "a b", "a:b", "sixteencharacters", "br%d"}) {
      Batch batch;
      batch.create_bridge(name, {});
      Result<void> done = socket.execute(batch);
      ASSERT_FALSE(done) << name;
      EXPECT_EQ(done.error().kind, ErrorKind::invalid);
    }
    EXPECT_FALSE(socket.find_link("a/b"));
  });
}

TEST(Netlink, ListsMoreLinksThanOneMessageHolds) {
  in_own_namespace([] {
    Socket socket = must(Socket::open());
    Batch batch;
    for (int i = 0; i < 100; ++i) batch.create_bridge("d" + std::to_string(i), {});
    must(socket.execute(batch));
    EXPECT_EQ(must(socket.links()).size(), 101u);
  });
}

// Their answers all wait in the socket's buffer.
TEST(Netlink, RunsBatchesOfAnyLength) {
  in_own_namespace([] {
    Socket socket = must(Socket::open());
    Batch batch;
    for (std::uint32_t i = 0; i < 3000; ++i) batch.add_address(1, {Ipv4Address{(10u << 24) + i + 1}, 32});
    batch.delete_link("nothing0");
    batch.add_address(1, {*Ipv4Address::parse("11.0.0.1"), 32});
    EXPECT_THAT(socket.execute(batch).error().message, HasSubstr("nothing0"));
    EXPECT_EQ(must(socket.addresses()).size(), 3001u) << "what comes after a failure is tried";
  });
}

// A namespace in which the kernel tracks what goes over loopback.
void track_loopback() {
  Socket socket = must(Socket::open());
  Batch batch;
  batch.change_link(1, {.up = true});
  must(socket.execute(batch));
  const std::string rules =
      "table inet t { chain c { type filter hook output priority 0; ct state new accept; }; }\n";
  ASSERT_EQ(must(run_program({"nft", "-f", "-"}, rules)).exit_code, 0);
}

struct Place {  // of one family or the other
  explicit Place(const IpAddress& address, std::uint16_t port) {
    auto* v4 = reinterpret_cast<sockaddr_in*>(&storage);
    auto* v6 = reinterpret_cast<sockaddr_in6*>(&storage);
    storage.ss_family = address.is_v6 ? AF_INET6 : AF_INET;
    v4->sin_port = htons(port);
    std::memcpy(address.is_v6 ? static_cast<void*>(&v6->sin6_addr) : &v4->sin_addr, address.bytes.data(),
                address.is_v6 ? 16 : 4);
    size = address.is_v6 ? sizeof *v6 : sizeof *v4;
  }
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
  sockaddr_storage storage{};
  socklen_t size;
};

// Nobody listens: that is answered over ICMP, and the conversation is tracked all the same.
void send_datagram(const char* from, const char* to, std::uint16_t port) {
  const Place source(*IpAddress::parse(from), 0), destination(*IpAddress::parse(to), port);
  Fd socket(::socket(source.storage.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ASSERT_EQ(bind(socket.get(), source.get(), source.size), 0);
  ASSERT_EQ(sendto(socket.get(), "x", 1, 0, destination.get(), destination.size), 1);
}

std::vector<std::string> ends(const std::vector<Connection>& connections) {
  std::vector<std::string> texts;
  for (const Connection& one : connections)
    texts.push_back(
        fmt::format("{} > {}:{}", one.source.text(), one.destination.text(), one.destination_port));
  return texts;
}

TEST(Connections, AreFoundByTheirEnds) {
  in_own_namespace([] {
    track_loopback();
    send_datagram("127.0.0.5", "127.0.0.6", 7);
    send_datagram("127.0.0.5", "127.0.0.8", 9);
    Connections connections = must(Connections::open());
    EXPECT_THAT(ends(must(connections.find({}))),
                testing::UnorderedElementsAre("127.0.0.5 > 127.0.0.6:7", "127.0.0.5 > 127.0.0.8:9"));
    const Ipv4Address client = *Ipv4Address::parse("127.0.0.5"), server = *Ipv4Address::parse("127.0.0.8");
    EXPECT_THAT(
        ends(must(connections.find({.protocol = IPPROTO_UDP, .source = client, .answering = server}))),
        testing::ElementsAre("127.0.0.5 > 127.0.0.8:9"));
    EXPECT_TRUE(must(connections.find({.protocol = IPPROTO_TCP})).empty());
    EXPECT_TRUE(must(connections.find({.source = server})).empty());
  });
}

TEST(Connections, OfOneAddressAreForgottenWhicheverSideBegan) {
  in_own_namespace([] {
    track_loopback();
    for (std::uint16_t port = 1; port <= 150; ++port) send_datagram("127.0.0.5", "127.0.0.6", port);
    send_datagram("127.0.0.6", "127.0.0.7", 9);
    send_datagram("127.0.0.5", "127.0.0.7", 9);
    Connections connections = must(Connections::open());
    ASSERT_EQ(must(connections.find({})).size(), 152u);
    const std::vector<Connection> before = must(connections.find({}));
    must(connections.forget_address(*Ipv4Address::parse("127.0.0.6")));
    EXPECT_THAT(ends(must(connections.find({}))), testing::ElementsAre("127.0.0.5 > 127.0.0.7:9"));
    must(connections.forget_address({}));  // nobody's
    EXPECT_EQ(must(connections.find({})).size(), 1u);
    must(connections.forget(before));  // most of which are gone
    EXPECT_TRUE(must(connections.find({})).empty());
  });
}

TEST(Connections, OfAnIpv6AddressAreForgottenAndNoOthers) {
  in_own_namespace([] {
    track_loopback();
    Socket socket = must(Socket::open());
    Batch batch;
    for (const char* address : {"fd00::5", "fd00::6", "fd00::7"})
      batch.set_address(1, {*Ipv6Address::parse(address), 128});
    must(socket.execute(batch));
    std::vector<std::string> listed;
    for (const InterfaceAddress6& one : must(socket.ipv6_addresses()))
      if (one.interface == 1) listed.push_back(one.address.text());
    EXPECT_THAT(listed, testing::Contains("fd00::6/128"));
    send_datagram("127.0.0.5", "127.0.0.6", 7);
    Connections connections = must(Connections::open());
    auto tracked = [&] { return ends(must(connections.find({.is_v6 = true, .protocol = IPPROTO_UDP}))); };
    // The kernel makes an IPv6 address usable in its own time.
    for (int tries = 0; tries < 500 && tracked().size() < 3; ++tries, usleep(10'000)) {
      send_datagram("fd00::5", "fd00::6", 7);
      send_datagram("fd00::6", "fd00::7", 7);
      send_datagram("fd00::5", "fd00::7", 9);
    }
    ASSERT_EQ(tracked().size(), 3u);
    must(connections.forget_address(*IpAddress::parse("fd00::6")));
    EXPECT_THAT(tracked(), testing::ElementsAre("fd00::5 > fd00::7:9"));
    EXPECT_THAT(ends(must(connections.find({}))), testing::ElementsAre("127.0.0.5 > 127.0.0.6:7"));
  });
}

TEST(Ipv4, ParsesStrictly) {
  EXPECT_EQ(Ipv4Address::parse("172.17.0.2")->text(), "172.17.0.2");
  EXPECT_EQ(Ipv4Address::parse("255.255.255.255")->value, 0xffffffffu);
  for (const char* bad :
       {"", "1.2.3", "1.2.3.4.5", "1.2.3.256", "01.2.3.4", "1.2.3.-4", "1.2.3.4 ", "1..3.4", "a"})
    EXPECT_FALSE(Ipv4Address::parse(bad)) << bad;
  EXPECT_EQ(Ipv4Prefix::parse("10.1.2.3/8")->subnet().text(), "10.0.0.0/8");
  EXPECT_EQ(Ipv4Prefix::parse("10.1.2.3/30")->broadcast().text(), "10.1.2.3");
  for (const char* bad : {"10.0.0.0", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1", "/8"})
    EXPECT_FALSE(Ipv4Prefix::parse(bad)) << bad;
}

TEST(Ipv4, KnowsWhatASubnetContainsAndOverlaps) {
  Ipv4Prefix subnet = *Ipv4Prefix::parse("172.17.0.0/16");
  EXPECT_TRUE(subnet.contains(*Ipv4Address::parse("172.17.255.1")));
  EXPECT_FALSE(subnet.contains(*Ipv4Address::parse("172.18.0.1")));
  EXPECT_TRUE(subnet.overlaps(*Ipv4Prefix::parse("172.16.0.0/12")));
  EXPECT_TRUE(subnet.overlaps(*Ipv4Prefix::parse("172.17.3.0/24")));
  EXPECT_FALSE(subnet.overlaps(*Ipv4Prefix::parse("172.18.0.0/16")));
  EXPECT_TRUE(Ipv4Prefix{}.contains(*Ipv4Address::parse("8.8.8.8")));
}

TEST(Mac, ParsesAndPrints) {
  EXPECT_EQ(format_mac(*parse_mac("02:42:AC:11:00:02")), "02:42:ac:11:00:02");
  for (const char* bad :
       {"", "02:42:ac:11:00", "02-42-ac-11-00-02", "02:42:ac:11:00:0g", "02:42:ac:11:00:022"})
    EXPECT_FALSE(parse_mac(bad)) << bad;
}

}  // namespace
}  // namespace berth::netlink
