// SPDX-License-Identifier: Apache-2.0
// What the resolver knows: networks with their containers' names and addresses, and what each container sees.
// Plain data; ids are the engine's (letters, digits, '_', '.', '-').
#pragma once
#include <cstddef>
#include <string>
#include <vector>

#include "base/error.h"
#include "names/address.h"

namespace berth::names {

// Bounds. Whoever passes one gets an error of the kind `exhausted`.
inline constexpr std::size_t kMostNetworks = 4096;
inline constexpr std::size_t kMostEndpoints = 16'384;  // of a network
inline constexpr std::size_t kMostNames = 64;          // of an endpoint
inline constexpr std::size_t kMostAddresses = 16;      // of an endpoint
inline constexpr std::size_t kMostSandboxes = 16'384;
inline constexpr std::size_t kMostServers = 8;  // of a view, or of the host
inline constexpr std::size_t kMostViewNetworks = 256;

// One container in one network.
struct Endpoint {
  std::string container;  // id
  // The first is the container's name, with which reverse questions are answered; then aliases, the short id,
  // and whatever else leads to it. Those that no query could ask for (message.h, valid_name) are left out
  // silently: Docker takes any text as an alias.
  std::vector<std::string> names;
  std::vector<Address> addresses;
  bool operator==(const Endpoint&) const = default;
};

struct Network {
  std::string id;
  std::string name;  // "<container>.<name>" leads to its containers, too
  std::vector<Endpoint> endpoints;
  bool operator==(const Network&) const = default;
};

struct View {
  std::vector<std::string> networks;  // ids; the first that knows a name answers. Need not be known yet.
  std::vector<Server> servers;        // for all that is not ours, in this order; empty: the host's
  bool forward = true;                // false on internal networks: nothing is asked outside
  bool operator==(const View&) const = default;
};

// Within the bounds, ids well-formed.
Result<void> check(const Endpoint& endpoint);
Result<void> check(const Network& network);
Result<void> check(const View& view);
Result<void> check_identifier(std::string_view what, std::string_view id);

}  // namespace berth::names
