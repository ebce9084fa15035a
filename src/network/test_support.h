// SPDX-License-Identifier: Apache-2.0
// For tests of networks: hosts, containers' places, and who hears whom.
#pragma once
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <memory>
#include <string>

#include "netlink/test_support.h"
#include "network/abandoned.h"
#include "network/bridge.h"
#include "network/firewall.h"
#include "network/sandbox.h"

namespace berth::network::test {

using netlink::test::must;
using netlink::test::on_a_thread;

template <class Body>
void on_own_host(Body body) {
  netlink::test::in_own_namespace(std::move(body));
}

template <class Body>
void inside(const Sandbox& sandbox, Body body) {
  on_a_thread([&] {
    ASSERT_EQ(setns(sandbox.descriptor(), CLONE_NEWNET), 0);
    body();
  });
}

inline sockaddr_in socket_address(Ipv4Address address, std::uint16_t port) {
  sockaddr_in made{};
  made.sin_family = AF_INET;
  made.sin_port = htons(port);
  made.sin_addr.s_addr = htonl(address.value);
  return made;
}

inline Fd listen_at(Ipv4Address address, std::uint16_t port) {
  Fd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in where = socket_address(address, port);
  EXPECT_EQ(bind(socket.get(), reinterpret_cast<sockaddr*>(&where), sizeof where), 0) << errno;
  EXPECT_EQ(listen(socket.get(), 100), 0);
  return socket;
}

inline bool can_connect(Ipv4Address address, std::uint16_t port) {
  Fd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr_in where = socket_address(address, port);
  if (connect(socket.get(), reinterpret_cast<sockaddr*>(&where), sizeof where) == 0) return true;
  pollfd polled{socket.get(), POLLOUT, 0};
  int error = 0;
  socklen_t size = sizeof error;
  return poll(&polled, 1, 3000) == 1 && getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, &error, &size) == 0 &&
         error == 0;
}

// As an engine begins: it claims its bridges, clears away others' and has a table.
struct OneEngine {
  Fd claim;
  std::unique_ptr<Firewall> firewall;
  std::unique_ptr<BridgeNetwork> network;
};
inline OneEngine begin_engine(const std::string& owner) {
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

}  // namespace berth::network::test
