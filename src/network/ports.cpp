// SPDX-License-Identifier: Apache-2.0
#include "network/ports.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/fd.h"

namespace berth::network {
namespace {

constexpr std::uint16_t kFirstFree = 32768, kLastFree = 60999;  // the kernel's own range for connections

std::string place(netlink::Ipv4Address address, std::uint16_t port) {
  return fmt::format("{}:{}", address ? address.text() : "0.0.0.0", port);
}

Fd open_socket(const std::string& protocol) {
  if (protocol == "udp") return Fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (protocol == "sctp") return Fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_SCTP));
  Fd made(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int one = 1;  // connections that linger do not count, listeners do all the same
  if (made) (void)setsockopt(made.get(), SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  return made;
}

// Asked by binding a socket there for a moment.
Result<void> check_host(const std::string& protocol, netlink::Ipv4Address address, std::uint16_t port) {
  Fd probe = open_socket(protocol);
  if (!probe) return {};  // a kernel without the protocol has nobody listening
  sockaddr_in wanted{};
  wanted.sin_family = AF_INET;
  wanted.sin_port = htons(port);
  wanted.sin_addr.s_addr = htonl(address.value);
  if (bind(probe.get(), reinterpret_cast<const sockaddr*>(&wanted), sizeof wanted) == 0) return {};
  if (errno == EADDRINUSE)
    return fail(ErrorKind::conflict,
                "failed to bind host port {}/{}: address already in use: something on this host has it",
                place(address, port), protocol);
  if (errno == EADDRNOTAVAIL)
    return fail(
        ErrorKind::invalid,
        "failed to bind host port {}/{}: cannot assign requested address: this host has no such address",
        place(address, port), protocol);
  return fail_errno(errno, "failed to bind host port {}/{}", place(address, port), protocol);
}

}  // namespace

bool PortTable::claimed(const Key& key, netlink::Ipv4Address address) const {
  auto [begin, end] = claimed_.equal_range(key);
  return std::any_of(begin, end, [&](const auto& entry) {
    return !entry.second.address || !address || entry.second.address == address;
  });
}

Result<std::uint16_t> PortTable::claim_any(const std::string& owner, const std::string& protocol,
                                           netlink::Ipv4Address address) {
  for (int tried = kFirstFree; tried <= kLastFree; ++tried) {
    if (next_ < kFirstFree || next_ > kLastFree) next_ = kFirstFree;
    const std::uint16_t port = next_++;
    if (claimed({protocol, port}, address)) continue;
    Result<void> free = check_host(protocol, address, port);
    if (!free && free.error().kind == ErrorKind::conflict) continue;
    if (!free) return std::unexpected(std::move(free).error());
    claimed_.emplace(Key{protocol, port}, Claim{address, owner});
    return port;
  }
  return fail(ErrorKind::exhausted, "all ports are allocated: none of {} to {} is free", kFirstFree,
              kLastFree);
}

Result<std::uint16_t> PortTable::claim(const std::string& owner, const std::string& protocol,
                                       netlink::Ipv4Address address, PortRange range) {
  std::lock_guard lock(mutex_);
  if (range.first == 0) return claim_any(owner, protocol, address);
  Error refusal;
  for (unsigned port = range.first; port <= range.last; ++port) {
    const auto number = static_cast<std::uint16_t>(port);
    if (claimed({protocol, number}, address)) {
      refusal = Error{ErrorKind::conflict, 0,
                      fmt::format("Bind for {} failed: port is already allocated", place(address, number))};
      continue;
    }
    Result<void> free = check_host(protocol, address, number);
    if (free) {
      claimed_.emplace(Key{protocol, number}, Claim{address, owner});
      return number;
    }
    refusal = std::move(free).error();
    if (refusal.kind != ErrorKind::conflict) break;
  }
  return std::unexpected(std::move(refusal));
}

Result<void> PortTable::reclaim(const std::string& owner, const std::string& protocol,
                                netlink::Ipv4Address address, std::uint16_t port) {
  std::lock_guard lock(mutex_);
  if (claimed({protocol, port}, address))
    return fail(ErrorKind::conflict, "the port {}/{} is published twice", place(address, port), protocol);
  claimed_.emplace(Key{protocol, port}, Claim{address, owner});
  return {};
}

void PortTable::release(const std::string& owner) noexcept {
  std::lock_guard lock(mutex_);
  std::erase_if(claimed_, [&](const auto& entry) { return entry.second.owner == owner; });
}

}  // namespace berth::network
