// SPDX-License-Identifier: Apache-2.0
// Inside a container's network namespace: questions to port 53 of the resolver's address go to the port that
// its sockets have, and answers come from port 53. So a container can have a name server of its own, on every
// address.
//
// Four nftables rules that rewrite ports in packets: no connection tracking, which would cost the container's
// other traffic. Sent as netlink messages of our own (nf_tables, linux/netfilter/nf_tables.h), because a
// process of nft for each container costs more than all the rest of its network.
#pragma once
#include <cstdint>

#include "base/error.h"

namespace berth::network {

// For the network namespace of the calling thread. `address` is in host byte order.
Result<void> redirect_names(std::uint32_t address, std::uint16_t udp_port, std::uint16_t tcp_port);

}  // namespace berth::network
