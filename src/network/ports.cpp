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

using netlink::IpAddress;

std::string place(const IpAddress& address, std::uint16_t port) {
  return fmt::format(fmt::runtime(address.is_v6 ? "[{}]:{}" : "{}:{}"), address.text(), port);
}

Fd open_socket(const std::string& protocol, bool v6) {
  const int family = v6 ? AF_INET6 : AF_INET;
  const int type = protocol == "udp" ? SOCK_DGRAM : SOCK_STREAM;
  Fd made(socket(family, type | SOCK_CLOEXEC, protocol == "sctp" ? IPPROTO_SCTP : 0));
  const int one = 1;
  // Connections that linger do not count, listeners do all the same.
  if (made && protocol == "tcp") (void)setsockopt(made.get(), SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (made && v6) (void)setsockopt(made.get(), IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one);
  return made;
}

int bind_to(int socket, const IpAddress& address, std::uint16_t port) {
  if (address.is_v6) {
    sockaddr_in6 wanted{};
    wanted.sin6_family = AF_INET6;
    wanted.sin6_port = htons(port);
    std::memcpy(&wanted.sin6_addr, address.bytes.data(), address.bytes.size());
    return bind(socket, reinterpret_cast<const sockaddr*>(&wanted), sizeof wanted);
  }
  sockaddr_in wanted{};
  wanted.sin_family = AF_INET;
  wanted.sin_port = htons(port);
  wanted.sin_addr.s_addr = htonl(address.v4().value);
  return bind(socket, reinterpret_cast<const sockaddr*>(&wanted), sizeof wanted);
}

// Asked by binding a socket there for a moment.
Result<void> check_host(const std::string& protocol, const IpAddress& address, std::uint16_t port) {
  Fd probe = open_socket(protocol, address.is_v6);
  if (!probe) return {};  // a kernel without the protocol has nobody listening
  if (bind_to(probe.get(), address, port) == 0) return {};
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

bool PortTable::claimed(const Key& key, const IpAddress& address) const {
  auto [begin, end] = claimed_.equal_range(key);
  return std::any_of(begin, end, [&](const auto& entry) {
    const IpAddress& other = entry.second.address;
    return other.is_v6 == address.is_v6 && (!other || !address || other == address);
  });
}

// At all of the addresses or at none.
Result<void> PortTable::try_claim(const std::string& owner, const std::string& protocol,
                                  std::span<const IpAddress> addresses, std::uint16_t port) {
  for (const IpAddress& address : addresses) {
    if (claimed({protocol, port}, address))
      return fail(ErrorKind::conflict, "Bind for {} failed: port is already allocated", place(address, port));
    TRY(check_host(protocol, address, port));
  }
  for (const IpAddress& address : addresses) claimed_.emplace(Key{protocol, port}, Claim{address, owner});
  return {};
}

Result<std::uint16_t> PortTable::claim_any(const std::string& owner, const std::string& protocol,
                                           std::span<const IpAddress> addresses) {
  for (int tried = kFirstFree; tried <= kLastFree; ++tried) {
    if (next_ < kFirstFree || next_ > kLastFree) next_ = kFirstFree;
    const std::uint16_t port = next_++;
    Result<void> had = try_claim(owner, protocol, addresses, port);
    if (had) return port;
    if (had.error().kind != ErrorKind::conflict) return std::unexpected(std::move(had).error());
  }
  return fail(ErrorKind::exhausted, "all ports are allocated: none of {} to {} is free", kFirstFree,
              kLastFree);
}

Result<std::uint16_t> PortTable::claim(const std::string& owner, const std::string& protocol,
                                       std::span<const IpAddress> addresses, PortRange range) {
  std::lock_guard lock(mutex_);
  if (range.first == 0) return claim_any(owner, protocol, addresses);
  Error refusal;
  for (unsigned port = range.first; port <= range.last; ++port) {
    const auto number = static_cast<std::uint16_t>(port);
    Result<void> had = try_claim(owner, protocol, addresses, number);
    if (had) return number;
    refusal = std::move(had).error();
    if (refusal.kind != ErrorKind::conflict) break;
  }
  return std::unexpected(std::move(refusal));
}

Result<void> PortTable::reclaim(const std::string& owner, const std::string& protocol,
                                const IpAddress& address, std::uint16_t port) {
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
