// SPDX-License-Identifier: Apache-2.0
// `-p`, `-P` and `--expose` as the API has them, made into what is claimed and published. Pure.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "engine/host_config.h"
#include "network/firewall.h"
#include "network/ports.h"
#include "oci/image_config.h"

namespace berth::engine {

struct PortSpec {  // "80/tcp"
  std::uint16_t port = 0;
  std::string protocol;
};
Result<PortSpec> parse_port(std::string_view text);

// One container port that shall have a host port out of a range.
struct WantedPort {
  PortSpec container;
  std::optional<netlink::IpAddress> host_address;  // none: all, of every family that the container has
  network::PortRange host;
};

// What the configuration publishes.
Result<std::vector<WantedPort>> wanted_ports(const oci::ContainerConfig& config, const HostConfig& host);

// Neighbouring ports of one container as ranges.
std::vector<network::PublishedPort> merge_ports(std::vector<network::PublishedPort> ports);

}  // namespace berth::engine
