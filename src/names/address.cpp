// SPDX-License-Identifier: Apache-2.0
#include "names/address.h"

#include <arpa/inet.h>
#include <net/if.h>

#include <cstring>

#include "base/text.h"

namespace berth::names {

std::optional<Address> Address::parse(std::string_view text) {
  const std::string terminated(text);
  Address address;
  if (terminated.size() != strlen(terminated.c_str())) return std::nullopt;
  if (inet_pton(AF_INET, terminated.c_str(), address.bytes.data()) == 1) return address;
  address = {.is_v6 = true};
  if (inet_pton(AF_INET6, terminated.c_str(), address.bytes.data()) == 1) return address;
  return std::nullopt;
}

std::string Address::text() const {
  char buffer[INET6_ADDRSTRLEN] = {};
  inet_ntop(is_v6 ? AF_INET6 : AF_INET, bytes.data(), buffer, sizeof buffer);
  return buffer;
}

std::optional<Server> Server::parse(std::string_view text) {
  Server server;
  std::string_view host = text;
  std::optional<std::string_view> port;
  if (text.starts_with('[')) {
    const std::size_t end = text.find(']');
    if (end == std::string_view::npos) return std::nullopt;
    host = text.substr(1, end - 1);
    if (std::string_view rest = text.substr(end + 1); !rest.empty()) {
      if (rest[0] != ':') return std::nullopt;
      port = rest.substr(1);
    }
  } else if (std::size_t colon = text.find(':');
             colon != std::string_view::npos && text.rfind(':') == colon) {
    host = text.substr(0, colon);
    port = text.substr(colon + 1);
  }
  if (port) {
    const auto number = parse_integer<std::uint16_t>(*port);
    if (!number || *number == 0) return std::nullopt;
    server.port = *number;
  }
  if (std::size_t percent = host.find('%'); percent != std::string_view::npos) {
    server.interface = host.substr(percent + 1);
    if (server.interface.empty() || server.interface.size() >= IF_NAMESIZE) return std::nullopt;
    host = host.substr(0, percent);
  }
  const std::optional<Address> address = Address::parse(host);
  if (!address || (!server.interface.empty() && !address->is_v6)) return std::nullopt;
  server.address = *address;
  return server;
}

std::string Server::text() const {
  std::string host = address.text();
  if (!interface.empty()) host += "%" + interface;
  if (port == 53) return host;
  return address.is_v6 ? fmt::format("[{}]:{}", host, port) : fmt::format("{}:{}", host, port);
}

SocketAddress socket_address(const Server& server) {
  SocketAddress made;
  if (server.address.is_v6) {
    sockaddr_in6 address{};
    address.sin6_family = AF_INET6;
    address.sin6_port = htons(server.port);
    std::memcpy(&address.sin6_addr, server.address.bytes.data(), 16);
    if (!server.interface.empty()) address.sin6_scope_id = if_nametoindex(server.interface.c_str());
    std::memcpy(&made.storage, &address, made.size = sizeof address);
  } else {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(server.port);
    std::memcpy(&address.sin_addr, server.address.bytes.data(), 4);
    std::memcpy(&made.storage, &address, made.size = sizeof address);
  }
  return made;
}

}  // namespace berth::names
