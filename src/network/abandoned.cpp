// SPDX-License-Identifier: Apache-2.0
#include "network/abandoned.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <map>
#include <thread>
#include <vector>

#include "base/log.h"
#include "base/text.h"
#include "network/bridge_segments.h"
#include "network/firewall.h"

namespace berth::network {
namespace {

constexpr std::string_view kMark = "berth network of ";
constexpr int kClaimAttempts = 50;

// A leading zero byte, and no terminating one: the length tells where the name ends.
std::string claim_name(const std::string& owner) { return std::string(1, '\0') + "berth-bridges-" + owner; }

// Of a container: not the trunk of a segment.
bool has_port(const std::vector<netlink::Link>& links, const netlink::Link& bridge) {
  return std::any_of(links.begin(), links.end(), [&](const netlink::Link& link) {
    return link.master == bridge.index && !is_segment_mark(link.alias);
  });
}

Result<void> delete_link(netlink::Socket& netlink, const std::string& name) {
  netlink::Batch batch;
  batch.delete_link(name);
  Result<void> deleted = netlink.execute(batch);
  if (!deleted && deleted.error().code == ENODEV) return {};  // another engine was as tidy
  return deleted;
}

struct Bridge {
  netlink::Link link;
  std::string network;
  bool segment = false;
  bool used = false;
};
using ByOwner = std::map<std::string, std::vector<Bridge>>;

// With the trunks of segments, which are pairs: what joins them goes first.
Result<void> delete_bridge(netlink::Socket& netlink, const Bridge& bridge) {
  if (bridge.segment) {
    const std::vector<netlink::Link> links = TRY(netlink.links());
    for (const netlink::Link& link : links)
      if (link.master == bridge.link.index && link.alias == bridge.link.alias)
        TRY(delete_link(netlink, link.name));
  }
  return delete_link(netlink, bridge.link.name);
}

ByOwner marked_bridges(const std::vector<netlink::Link>& links) {
  ByOwner found;
  for (const netlink::Link& link : links) {
    if (link.kind != "bridge" || !is_bridge_mark(link.alias)) continue;
    const bool segment = is_segment_mark(link.alias);
    std::string_view mark = std::string_view(link.alias).substr(kMark.size());
    if (segment) mark.remove_suffix(1);
    auto [owner, network] = split_once(mark, '/');
    found[std::string(owner)].push_back({link, std::string(network), segment, has_port(links, link)});
  }
  return found;
}

Result<void> remove_unrecorded(netlink::Socket& netlink, const std::vector<Bridge>& bridges,
                               const std::set<std::string>& networks) {
  std::set<std::string> kept = networks;
  for (const Bridge& bridge : bridges)
    if (bridge.used) kept.insert(bridge.network);
  for (const Bridge& bridge : bridges)
    if (!kept.contains(bridge.network)) TRY(delete_bridge(netlink, bridge));
  return {};
}

// The table is of all of an owner's bridges: one container that runs on any of them keeps everything.
Result<void> remove_others(netlink::Socket& netlink, const std::string& owner,
                           const std::vector<Bridge>& bridges) {
  if (std::any_of(bridges.begin(), bridges.end(), [](const Bridge& bridge) { return bridge.used; }))
    return {};
  Result<Fd> claim = claim_bridges(owner);  // held while we remove: an engine that starts now makes new ones
  if (!claim && claim.error().kind == ErrorKind::conflict) return {};  // it lives
  if (!claim) return std::unexpected(std::move(claim).error());
  log_info("network", "removing what the engine {} had left", owner);
  Result<void> dropped = drop_firewall(firewall_table_name(owner));
  if (!dropped && dropped.error().kind != ErrorKind::unsupported) return dropped;
  for (const Bridge& bridge : bridges) TRY(delete_bridge(netlink, bridge));
  return {};
}

}  // namespace

std::string bridge_mark(const std::string& owner, const std::string& network) {
  return std::string(kMark) + owner + (network.empty() ? "" : "/" + network);
}

bool is_bridge_mark(std::string_view alias) { return alias.starts_with(kMark); }

Result<std::vector<std::string>> bridges_of(netlink::Socket& netlink, const std::string& owner) {
  const std::vector<netlink::Link> links = TRY(netlink.links());
  ByOwner by_owner = marked_bridges(links);
  std::vector<std::string> names;
  for (const Bridge& bridge : by_owner[owner])
    if (!bridge.segment) names.push_back(bridge.link.name);
  return names;
}

Result<Fd> claim_bridges(const std::string& owner) {
  const std::string name = claim_name(owner);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (name.size() > sizeof address.sun_path)
    return fail(ErrorKind::invalid, "'{}' is too long for the owner of a bridge", owner);
  std::copy(name.begin(), name.end(), address.sun_path);
  Fd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket) return fail_errno(errno, "make a socket for the claim on the bridges of {}", owner);
  const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size());
  if (bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), length) == 0) {
    (void)shutdown(socket.get(), SHUT_RD);  // containers in the host's network can reach it: nothing is taken
    return socket;
  }
  if (errno == EADDRINUSE) return fail(ErrorKind::conflict, "the engine {} runs already", owner);
  return fail_errno(errno, "claim the bridges of {}", owner);
}

Result<Fd> claim_bridges_patiently(const std::string& owner) {
  for (int attempt = 1;; ++attempt) {
    Result<Fd> claim = claim_bridges(owner);
    if (claim || claim.error().kind != ErrorKind::conflict || attempt == kClaimAttempts) return claim;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
}

void remove_abandoned_bridges(netlink::Socket& netlink, const std::string& own,
                              const std::set<std::string>& networks) {
  Result<std::vector<netlink::Link>> links = netlink.links();
  if (!links) return log_warning("network", "look for abandoned bridges: {}", links.error().message);
  for (const auto& [owner, bridges] : marked_bridges(*links)) {
    Result<void> removed =
        owner == own ? remove_unrecorded(netlink, bridges, networks) : remove_others(netlink, owner, bridges);
    if (!removed)
      log_warning("network", "remove the abandoned bridges of {}: {}", owner, removed.error().message);
  }
}

}  // namespace berth::network
