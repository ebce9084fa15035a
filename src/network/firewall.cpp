// SPDX-License-Identifier: Apache-2.0
#include "network/firewall.h"

#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <set>
#include <tuple>

#include "base/file.h"
#include "base/log.h"
#include "base/process.h"
#include "base/text.h"
#include "netlink/connections.h"
#include "netlink/netlink.h"

namespace berth::network {
namespace {

constexpr int kPause = 50;             // ms: whoever flushes tables often does it one by one
constexpr int kEventBuffer = 8 << 20;  // some hundred loadings of a large table

Result<Fd> open_events() {
  Fd socket(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_NETFILTER));
  if (!socket) return fail_errno(errno, "open a netfilter socket");
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  address.nl_groups = 1u << (NFNLGRP_NFTABLES - 1);
  (void)setsockopt(socket.get(), SOL_SOCKET, SO_RCVBUFFORCE, &kEventBuffer, sizeof kEventBuffer);
  if (bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return fail_errno(errno, "listen to changes of nft tables");
  return socket;
}

// Of these messages the table's name is the first attribute, by number as by place.
bool names_table(const nlmsghdr* message, const std::string& table) {
  const std::size_t head = NLMSG_LENGTH(sizeof(nfgenmsg));
  if (message->nlmsg_len < head + NLA_HDRLEN) return false;
  nlattr attribute;
  const char* at = reinterpret_cast<const char*>(message) + NLMSG_ALIGN(head);
  std::memcpy(&attribute, at, sizeof attribute);
  static_assert(NFTA_TABLE_NAME == 1 && NFTA_CHAIN_TABLE == 1 && NFTA_RULE_TABLE == 1 && NFTA_SET_TABLE == 1);
  if ((attribute.nla_type & NLA_TYPE_MASK) != 1 || attribute.nla_len < NLA_HDRLEN ||
      NLMSG_ALIGN(head) + attribute.nla_len > message->nlmsg_len)
    return false;
  std::string_view name(at + NLA_HDRLEN, attribute.nla_len - NLA_HDRLEN);
  return name.substr(0, name.find('\0')) == table;
}

Ipv6Rules ipv6_rules() {
  if (!exists("/proc/sys/net/ipv6")) return Ipv6Rules::none;
  Result<std::string> called = read_file("/proc/sys/net/bridge/bridge-nf-call-ip6tables");
  return called && trim(*called) == "1" ? Ipv6Rules::without_loopback : Ipv6Rules::all;
}

enum class Change { none, damaged, made };

// Our own loading takes the table away and makes it anew, in this order; so what comes last tells.
Change change_of(const nlmsghdr* message, const std::string& table) {
  if (NFNL_SUBSYS_ID(message->nlmsg_type) != NFNL_SUBSYS_NFTABLES) return Change::none;
  switch (NFNL_MSG_TYPE(message->nlmsg_type)) {
    case NFT_MSG_DELTABLE:
    case NFT_MSG_DELCHAIN:
    case NFT_MSG_DELRULE:
    case NFT_MSG_DELSET:
      return names_table(message, table) ? Change::damaged : Change::none;
    case NFT_MSG_NEWTABLE:
      return names_table(message, table) ? Change::made : Change::none;
    default:
      return Change::none;
  }
}

// Everything that has arrived, one judgement.
Change drain(int socket, const std::string& table) {
  Change last = Change::none;
  alignas(nlmsghdr) char buffer[32 << 10];
  for (;;) {
    ssize_t size = recv(socket, buffer, sizeof buffer, 0);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0 && errno == ENOBUFS) {  // some are lost: who knows what they said
      last = Change::damaged;
      continue;
    }
    if (size <= 0) return last;
    auto left = static_cast<unsigned>(size);
    for (auto* message = reinterpret_cast<nlmsghdr*>(buffer); NLMSG_OK(message, left);
         message = NLMSG_NEXT(message, left))
      if (Change change = change_of(message, table); change != Change::none) last = change;
  }
}

bool leads_elsewhere(const netlink::Connection& connection, const PublishedPort& port) {
  return connection.destination_port >= port.host_port &&
         connection.destination_port - port.host_port < port.count &&
         port.host_address.is_v6 == connection.destination.is_v6 &&
         (!port.host_address || port.host_address == connection.destination) &&
         connection.answering != port.container_address;
}

// What reaches this host itself, beside 127.0.0.0/8.
Result<std::set<netlink::IpAddress>> own_addresses() {
  netlink::Socket netlink = TRY(netlink::Socket::open());
  std::set<netlink::IpAddress> own;
  const std::vector<netlink::InterfaceAddress> ipv4 = TRY(netlink.addresses());
  for (const netlink::InterfaceAddress& one : ipv4) own.insert(one.address.address);
  const std::vector<netlink::InterfaceAddress6> ipv6 = TRY(netlink.ipv6_addresses());
  for (const netlink::InterfaceAddress6& one : ipv6) own.insert(one.address.address);
  return own;
}

// A client that goes on sending datagrams from one port is one connection to the kernel, which goes where its
// first packet went: to this host, while the port was nobody's, or to a container that is no more. Not so
// TCP: that begins anew, and what has begun shall stay.
Result<void> forget_misled(const std::vector<PublishedPort>& ports) {
  std::set<std::tuple<bool, std::string, std::uint8_t>> kinds;  // is it IPv6, the protocol, its number
  for (const PublishedPort& port : ports) {
    if (port.protocol == "udp") kinds.emplace(port.host_address.is_v6, port.protocol, IPPROTO_UDP);
    if (port.protocol == "sctp") kinds.emplace(port.host_address.is_v6, port.protocol, IPPROTO_SCTP);
  }
  if (kinds.empty()) return {};
  netlink::Connections connections = TRY(netlink::Connections::open());
  const std::set<netlink::IpAddress> own = TRY(own_addresses());
  std::vector<netlink::Connection> misled;
  for (const auto& [is_v6, protocol, number] : kinds) {
    std::vector<netlink::Connection> tracked = TRY(connections.find({.is_v6 = is_v6, .protocol = number}));
    for (netlink::Connection& one : tracked) {
      // What containers ask others at such a port is not meant.
      const bool loopback = !is_v6 && one.destination.bytes[0] == IN_LOOPBACKNET;
      if (!loopback && !own.contains(one.destination)) continue;
      if (std::any_of(ports.begin(), ports.end(), [&, &name = protocol](const PublishedPort& port) {
            return port.protocol == name && leads_elsewhere(one, port);
          }))
        misled.push_back(std::move(one));
    }
  }
  return misled.empty() ? Result<void>() : connections.forget(misled);
}

}  // namespace

Result<void> load_firewall(const std::string& text) {
  Result<Output> output = run_program({"nft", "-f", "-"}, text);
  if (!output && output.error().code == ENOENT)
    return fail(ErrorKind::unsupported, "the program nft is not installed");
  if (!output) return std::unexpected(std::move(output).error());
  if (output->exit_code != 0)
    return fail(ErrorKind::system, "nft refused the firewall's rules: {}", trim(output->standard_error));
  return {};
}

Result<std::vector<std::string>> foreign_forward_drops() {
  Result<Output> output = run_program({"nft", "list", "chains"}, "");
  if (!output) return std::unexpected(std::move(output).error());
  return find_forward_drops(output->standard_output);
}

Result<void> drop_firewall(const std::string& table) {
  return load_firewall(firewall_away_text(table, {.ipv6 = ipv6_rules()}));
}

Result<std::unique_ptr<Firewall>> Firewall::open(const std::string& owner) {
  Fd events = TRY(open_events());
  Fd stop(eventfd(0, EFD_CLOEXEC));
  if (!stop) return fail_errno(errno, "make an event descriptor");
  return std::unique_ptr<Firewall>(
      new Firewall(firewall_table_name(owner), std::move(events), std::move(stop)));
}

Firewall::Firewall(std::string table, Fd events, Fd stop)
    : table_(std::move(table)), events_(std::move(events)), stop_(std::move(stop)) {
  thread_ = std::thread([this] { follow(); });
}

Firewall::~Firewall() {
  const std::uint64_t one = 1;
  (void)!::write(stop_.get(), &one, sizeof one);
  thread_.join();
}

void Firewall::follow() {
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, nullptr);  // the program's signals are not this thread's business
  pollfd polled[] = {{events_.get(), POLLIN, 0}, {stop_.get(), POLLIN, 0}};
  for (;;) {
    if (poll(polled, 2, -1) < 0 && errno != EINTR) return;
    if (polled[1].revents != 0) return;
    if (poll(&polled[1], 1, kPause) > 0) return;
    // Locked first: what an own transaction, that is under way, says about itself has then arrived as a
    // whole.
    std::lock_guard lock(mutex_);
    if (drain(events_.get(), table_) != Change::damaged || !loaded_) continue;
    route_loopback(false);
    log_warning("network", "the nft table {} was changed by somebody else: it is loaded again", table_);
    if (Result<void> loaded = load_locked(); !loaded) log_error("network", "{}", loaded.error().message);
  }
}

// Ports that are published reach the host's own programs over loopback. Never without the table's guard: with
// this, the kernel would let containers reach what listens on the host's loopback.
void Firewall::route_loopback(bool on) const {
  for (const auto& [name, bridge] : bridges_)
    if (!bridge.internal)
      (void)write_existing(fmt::format("/proc/sys/net/ipv4/conf/{}/route_localnet", name), on ? "1" : "0");
}

Result<void> Firewall::load_locked() {
  std::vector<FirewallBridge> bridges;
  for (const auto& [name, bridge] : bridges_) bridges.push_back(bridge);
  host_.ipv6 = ipv6_rules();
  TRY(load_firewall(firewall_text(table_, bridges, ports_, host_)));
  route_loopback(true);
  return {};
}

void Firewall::set_forwards_for_us(bool ipv4, bool ipv6) {
  std::lock_guard lock(mutex_);
  host_.forwards_for_us = ipv4;
  host_.forwards_ipv6_for_us = ipv6;
}

Result<void> Firewall::load() {
  std::lock_guard lock(mutex_);
  loaded_ = true;
  return load_locked();
}

Result<void> Firewall::add_bridge(const FirewallBridge& bridge) {
  std::lock_guard lock(mutex_);
  bridges_[bridge.name] = bridge;
  if (!loaded_) return {};
  Result<void> loaded = load_locked();
  if (!loaded) bridges_.erase(bridge.name);
  return loaded;
}

Result<void> Firewall::remove_bridge(const std::string& name) {
  std::lock_guard lock(mutex_);
  if (bridges_.erase(name) == 0 || !loaded_) return {};
  return load_locked();
}

Result<void> Firewall::change_ports(std::string_view verb, const std::vector<PublishedPort>& ports) {
  if (!loaded_) return {};
  if (load_firewall(firewall_ports_text(verb, table_, ports, host_))) return {};
  return load_locked();  // somebody has just flushed it, and we were faster than the thread that heals
}

Result<void> Firewall::publish(const std::vector<PublishedPort>& ports) {
  if (ports.empty()) return {};
  std::lock_guard lock(mutex_);
  ports_.insert(ports.begin(), ports.end());
  TRY(change_ports("add", ports));
  if (!loaded_) return {};
  if (Result<void> forgotten = forget_misled(ports); !forgotten)
    log_warning("network", "clients of published ports may have to begin anew: {}",
                forgotten.error().message);
  return {};
}

Result<void> Firewall::withdraw(const std::vector<PublishedPort>& ports) {
  if (ports.empty()) return {};
  std::lock_guard lock(mutex_);
  std::vector<PublishedPort> there;
  for (const PublishedPort& port : ports)
    if (ports_.erase(port) > 0) there.push_back(port);
  return there.empty() ? Result<void>() : change_ports("delete", there);
}

Result<void> Firewall::drop() {
  std::lock_guard lock(mutex_);
  loaded_ = false;
  return drop_firewall(table_);
}

}  // namespace berth::network
