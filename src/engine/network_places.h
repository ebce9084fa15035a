// SPDX-License-Identifier: Apache-2.0
// Containers' places on networks, as Networks looks at them.
#pragma once
#include <functional>
#include <vector>

#include "base/error.h"
#include "base/fd.h"
#include "engine/container.h"
#include "keeper/state.h"
#include "names/records.h"
#include "netlink/ipv6.h"

namespace berth::engine {

bool has_ipv6(const Attachment& one);
std::vector<netlink::IpAddress> addresses_of(const network::Endpoint& endpoint);
names::Endpoint endpoint_names(const ContainerRecord& record, const Attachment& attachment);

// Which way out: the highest priority among those that have one, then the first.
const Attachment* way_out(const std::vector<Attachment>& attachments,
                          const std::function<bool(const Attachment&)>& leads_out);

// The process may have ended, and its number may be another's by now: never the host's own network.
Result<Fd> open_network_of(int process);
// Of a container that its restart policy may have between two runs: its keeper has the network all the time.
Result<Fd> open_network_of(const keeper::State& state);

}  // namespace berth::engine
