// SPDX-License-Identifier: Apache-2.0
#include "names/records.h"

#include <algorithm>

namespace berth::names {
namespace {

Result<void> check_count(std::string_view of, std::string_view what, std::size_t count, std::size_t limit) {
  if (count <= limit) return {};
  return fail(ErrorKind::exhausted, "{} has {} {}, which is more than the {} that the resolver takes", of,
              count, what, limit);
}

bool is_identifier_letter(char letter) {
  return (letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z') ||
         (letter >= '0' && letter <= '9') || letter == '_' || letter == '.' || letter == '-';
}

}  // namespace

Result<void> check_identifier(std::string_view what, std::string_view id) {
  if (!id.empty() && id.size() <= 128 && std::ranges::all_of(id, is_identifier_letter)) return {};
  return fail(ErrorKind::invalid,
              "the id of a {} has to be 1 to 128 letters, digits and '_.-'; this one has {} characters", what,
              id.size());
}

Result<void> check(const Endpoint& endpoint) {
  TRY(check_identifier("container", endpoint.container));
  TRY(check_count(endpoint.container, "names", endpoint.names.size(), kMostNames));
  return check_count(endpoint.container, "addresses", endpoint.addresses.size(), kMostAddresses);
}

Result<void> check(const Network& network) {
  TRY(check_identifier("network", network.id));
  TRY(check_count(network.id, "containers", network.endpoints.size(), kMostEndpoints));
  for (const Endpoint& endpoint : network.endpoints) TRY(check(endpoint));
  return {};
}

Result<void> check(const View& view) {
  TRY(check_count("the container's view", "networks", view.networks.size(), kMostViewNetworks));
  TRY(check_count("the container's view", "DNS servers", view.servers.size(), kMostServers));
  for (const std::string& network : view.networks) TRY(check_identifier("network", network));
  return {};
}

}  // namespace berth::names
