// SPDX-License-Identifier: Apache-2.0
// Networks and a container's places on them: plain data, and the networks' rows in the database (one a
// network; the three that are always there have none).
#pragma once
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/error.h"
#include "db/database.h"
#include "netlink/ipv4.h"
#include "network/bridge.h"

namespace berth::engine {

struct NetworkRecord {
  std::string id;    // 64 hex digits
  std::string name;  // not unique by itself: create() refuses a second one
  std::string driver = "bridge";
  Timestamp created;
  bool internal = false;
  bool attachable = false;
  // Of a bridge, once it is made:
  netlink::Ipv4Prefix subnet;
  netlink::Ipv4Address gateway;
  std::optional<netlink::Ipv4Prefix> range;
  std::optional<network::Ipv6Subnet> ipv6;
  std::map<std::string, std::string> auxiliary, auxiliary6;  // name -> address that no container gets
  bool subnet_chosen_by_user = false;                        // only then containers can ask for an address
  bool subnet6_chosen_by_user = false;
  std::map<std::string, std::string> options;
  std::map<std::string, std::string> labels;
};

// What a client wants of one place.
struct EndpointSettings {
  std::vector<std::string> aliases;
  std::string ipv4_address;
  std::string ipv6_address;
  std::string mac_address;
  std::vector<std::string> links;
  std::vector<std::string> link_local_addresses;
  std::map<std::string, std::string> driver_options;
  int gateway_priority = 0;  // the default route goes through the highest
};

struct Attachment {
  std::string network;  // its id
  std::string network_name;
  EndpointSettings settings;
  std::optional<network::Endpoint> endpoint;  // while the container runs
};

std::vector<db::Migration> network_migrations();
Result<void> insert_network(db::Database& database, const NetworkRecord& record);
Result<void> delete_network(db::Database& database, const std::string& id);
// A row that cannot be read is reported in `damaged` and left out: the engine always starts.
Result<std::vector<NetworkRecord>> load_networks(db::Database& database, std::vector<std::string>& damaged);

}  // namespace berth::engine
