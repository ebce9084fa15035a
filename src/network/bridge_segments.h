// SPDX-License-Identifier: Apache-2.0
// A Linux bridge has 1,023 ports, and far fewer work well: a broadcast is a copy for each port, and a CPU's
// queue for packets that veth pairs deliver holds 1,000 (net.core.netdev_max_backlog), so that the answer of
// the host itself is dropped. A network with many containers has further bridges, its segments, each joined
// to the one before by a veth pair, the trunk. In such a chain the copies of one segment are delivered before
// those of the next but one are made. Only the network's own bridge, the first, has addresses: what goes out
// of the network or comes in passes it, and the Firewall need not know of the others.
//
// Segments and trunks bear a mark by which they are found again; they stay until remove(). Not thread safe.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "base/error.h"
#include "netlink/netlink.h"

namespace berth::network {

// How the names of segments begin. The Firewall has a rule for them: who writes to a segment's own hardware
// address is not to get past what holds for the network's bridge.
inline constexpr const char* kSegmentPrefix = "berths-";

// So many that the copies of a broadcast for one segment and both its neighbours fit into the queue.
inline constexpr std::size_t kPortsOfBridge = 250;

// The mark of a network's segments and trunks, made of its bridge's; and whether an alias is one.
std::string segment_mark(const std::string& bridge_mark);
bool is_segment_mark(std::string_view alias);

struct SegmentSettings {
  std::uint32_t mtu = 1500;
  bool isolated = false;  // ports do not reach each other: neither from segment to segment
  std::size_t ports = kPortsOfBridge;
};

class BridgeSegments {
 public:
  // The bridge, and the segments that it has got already; what a kill left half done is finished.
  static Result<BridgeSegments> find(netlink::Socket& netlink, const netlink::Link& bridge,
                                     const std::string& bridge_mark, const SegmentSettings& settings);

  // The index of a bridge with room for a port, which is to be made now; a new segment if there is none.
  Result<std::uint32_t> room(netlink::Socket& netlink);
  bool holds(std::uint32_t bridge) const noexcept;  // whether it is one of the network's
  // The trunk's end on the segment that it was made for: all that leaves the segment for the host passes it.
  // Its other end is a port like a container's.
  bool is_way_out(const netlink::Link& port) const;
  Result<void> remove(netlink::Socket& netlink);  // the segments and trunks; not the first bridge

 private:
  struct Bridge {
    std::uint32_t index = 0;
    std::size_t ports =
        0;  // containers' ones at most: those that have gone since are noticed when it seems full
  };
  BridgeSegments(std::string mark, const SegmentSettings& settings)
      : mark_(std::move(mark)), settings_(settings) {}
  Result<void> count(netlink::Socket& netlink);
  Result<void> add(netlink::Socket& netlink);

  std::vector<Bridge> bridges_;  // the network's own first; each joined to the one before
  std::size_t current_ = 0;
  std::string mark_;
  SegmentSettings settings_;
};

}  // namespace berth::network
