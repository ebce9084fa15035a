// SPDX-License-Identifier: Apache-2.0
#include "network/bridge_segments.h"

#include <algorithm>

#include "base/file.h"
#include "base/text.h"
#include "network/abandoned.h"

namespace berth::network {
namespace {

constexpr const char* kTrunkPrefix = "bertht-";   // its end at the bridge before
constexpr const char* kWayOutPrefix = "berthu-";  // and at the segment that was made with it

std::string random_name(const char* prefix) { return prefix + random_identifier().substr(0, 8); }

Result<std::uint32_t> index_of(netlink::Socket& netlink, const std::string& name) {
  std::optional<netlink::Link> link = TRY(netlink.find_link(name));
  if (!link) return fail(ErrorKind::conflict, "the interface {} was removed as soon as it was made", name);
  return link->index;
}

void delete_link(netlink::Socket& netlink, const std::string& name) {
  netlink::Batch batch;
  batch.delete_link(name);
  (void)netlink.execute(batch);
}

// Marked as soon as it is there: what a kill leaves of the rest is made good when the engine finds it.
Result<std::uint32_t> create_segment(netlink::Socket& netlink, const std::string& name,
                                     const std::string& mark, std::uint32_t mtu) {
  netlink::Batch make, mark_it;
  make.create_bridge(name, {.mtu = mtu});
  TRY(netlink.execute(make));
  const std::uint32_t index = TRY(index_of(netlink, name));
  mark_it.set_alias(index, mark);
  TRY(netlink.execute(mark_it));
  return index;
}

Result<void> set_up_segment(netlink::Socket& netlink, const std::string& name, std::uint32_t index,
                            std::uint32_t mtu) {
  // The host has nothing to say on it, least of all that it is the gateway: which it would, with the
  // segment's hardware address, for each of its addresses. (A kernel without IPv6 lacks that file.)
  TRY(write_existing("/proc/sys/net/ipv4/conf/" + name + "/arp_ignore", "8"));
  (void)write_existing("/proc/sys/net/ipv6/conf/" + name + "/disable_ipv6", "1");
  netlink::Batch batch;
  batch.change_link(index, {.mtu = mtu, .up = true});
  return netlink.execute(batch);
}

Result<void> make_trunk(netlink::Socket& netlink, std::uint32_t before, std::uint32_t segment,
                        const std::string& mark, const SegmentSettings& settings) {
  const std::string here = random_name(kTrunkPrefix), there = random_name(kWayOutPrefix);
  netlink::Batch make;
  make.create_veth(here, {.mtu = settings.mtu, .master = before}, {.name = there, .mtu = settings.mtu});
  TRY(netlink.execute(make));
  auto connect = [&]() -> Result<void> {
    const std::uint32_t near = TRY(index_of(netlink, here)), far = TRY(index_of(netlink, there));
    netlink::Batch batch;
    batch.set_alias(near, mark);
    batch.set_alias(far, mark);
    if (settings.isolated) batch.isolate_port(near, true);
    batch.change_link(far, {.master = segment, .up = true});
    batch.change_link(near, {.up = true});
    return netlink.execute(batch);
  };
  Result<void> connected = connect();
  if (!connected) delete_link(netlink, here);
  return connected;
}

}  // namespace

std::string segment_mark(const std::string& bridge_mark) { return bridge_mark + "#"; }
bool is_segment_mark(std::string_view alias) { return is_bridge_mark(alias) && alias.ends_with('#'); }

Result<BridgeSegments> BridgeSegments::find(netlink::Socket& netlink, const netlink::Link& bridge,
                                            const std::string& bridge_mark, const SegmentSettings& settings) {
  BridgeSegments segments(segment_mark(bridge_mark), settings);
  segments.bridges_.push_back({bridge.index});
  const std::vector<netlink::Link> links = TRY(netlink.links());
  std::vector<netlink::Link> found;
  for (const netlink::Link& link : links)
    if (link.kind == "bridge" && link.alias == segments.mark_) found.push_back(link);
  // In the order in which they were made, which is that of the chain.
  std::ranges::sort(found, {}, &netlink::Link::index);
  for (const netlink::Link& segment : found) {
    TRY(set_up_segment(netlink, segment.name, segment.index, settings.mtu));
    const bool joined = std::ranges::any_of(links, [&](const netlink::Link& link) {
      return link.master == segment.index && segments.is_way_out(link);
    });
    if (!joined)
      TRY(make_trunk(netlink, segments.bridges_.back().index, segment.index, segments.mark_, settings));
    segments.bridges_.push_back({segment.index});
  }
  TRY(segments.count(netlink));
  return segments;
}

Result<void> BridgeSegments::count(netlink::Socket& netlink) {
  const std::vector<netlink::Link> links = TRY(netlink.links());
  for (Bridge& bridge : bridges_)
    bridge.ports =
        static_cast<std::size_t>(std::count_if(links.begin(), links.end(), [&](const netlink::Link& link) {
          return link.master == bridge.index && link.alias != mark_;
        }));
  const auto free = std::find_if(bridges_.begin(), bridges_.end(),
                                 [&](const Bridge& bridge) { return bridge.ports < settings_.ports; });
  current_ = static_cast<std::size_t>(free - bridges_.begin());
  return {};
}

Result<std::uint32_t> BridgeSegments::room(netlink::Socket& netlink) {
  if (current_ == bridges_.size() || bridges_[current_].ports >= settings_.ports) TRY(count(netlink));
  if (current_ == bridges_.size()) TRY(add(netlink));
  ++bridges_[current_].ports;
  return bridges_[current_].index;
}

Result<void> BridgeSegments::add(netlink::Socket& netlink) {
  const std::string name = random_name(kSegmentPrefix);
  auto make = [&]() -> Result<std::uint32_t> {
    const std::uint32_t index = TRY(create_segment(netlink, name, mark_, settings_.mtu));
    TRY(set_up_segment(netlink, name, index, settings_.mtu));
    TRY(make_trunk(netlink, bridges_.back().index, index, mark_, settings_));
    return index;
  };
  Result<std::uint32_t> made = make();
  if (!made) delete_link(netlink, name);
  const std::uint32_t index = TRY_AS("make room for more containers", std::move(made));
  bridges_.push_back({index});
  current_ = bridges_.size() - 1;
  return {};
}

bool BridgeSegments::holds(std::uint32_t bridge) const noexcept {
  return std::any_of(bridges_.begin(), bridges_.end(),
                     [&](const Bridge& one) { return one.index == bridge; });
}

bool BridgeSegments::is_way_out(const netlink::Link& port) const {
  return port.alias == mark_ && port.name.starts_with(kWayOutPrefix);
}

// With one end of a trunk goes the other.
Result<void> BridgeSegments::remove(netlink::Socket& netlink) {
  const std::vector<netlink::Link> links = TRY(netlink.links());
  netlink::Batch batch;
  for (const netlink::Link& link : links)
    if (link.alias == mark_ && (link.kind == "bridge" || link.name.starts_with(kTrunkPrefix)))
      batch.delete_link(link.name);
  bridges_.resize(1);
  current_ = 0;
  return batch.empty() ? Result<void>() : netlink.execute(batch);
}

}  // namespace berth::network
