// SPDX-License-Identifier: Apache-2.0
// Networks as objects, and containers' places on them. bridge, host and none are always there; users make
// others with the driver bridge. A network lives from create() to remove(); its Linux bridge is there while
// an engine runs or a container is on it.
//
// A container is attached when it starts and released when it ends; connect() and disconnect() change a
// container that runs. Names are told to the resolver (name_service.h), ports to the firewall.
//
// Thread safe. Errors are Docker's in words.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/error.h"
#include "db/database.h"
#include "engine/container.h"
#include "engine/events.h"
#include "engine/name_service.h"
#include "engine/network_record.h"
#include "engine/port_mapping.h"
#include "engine/settings.h"
#include "network/bridge.h"
#include "network/firewall.h"
#include "network/macvlan.h"
#include "network/ports.h"
#include "network/sandbox.h"

namespace berth::engine {

struct IpamSetting {
  std::string subnet, range, gateway;
  std::map<std::string, std::string> auxiliary;
};

struct NewNetwork {
  std::string name;
  std::string driver;
  bool internal = false;
  bool attachable = false;
  bool ipv6 = false;
  std::string ipam_driver;
  std::vector<IpamSetting> ipam;
  std::map<std::string, std::string> options;
  std::map<std::string, std::string> labels;
};

struct NetworkUser {
  std::string container;  // id
  std::string name;
  network::Endpoint endpoint;
};

// A network as it is shown.
struct NetworkState {
  NetworkRecord record;
  std::vector<NetworkUser> users;  // that run

  bool predefined() const {
    return record.name == "bridge" || record.name == "host" || record.name == "none";
  }
};

// What a container is called on a network: its name first, aliases, its id's beginning.
std::vector<std::string> names_on(const ContainerRecord& record, const Attachment& attachment);

class Networks {
 public:
  // Makes the bridges. Without the default one everything but it works: that is told and not fatal.
  static std::unique_ptr<Networks> open(const Settings& settings, const std::string& engine_id,
                                        db::Database& database, EventBus& events);
  ~Networks();  // takes away the bridges that no container is on

  // --- as objects ---
  Result<NetworkState> create(const NewNetwork& wanted);
  Result<NetworkState> find(const std::string& reference) const;  // by id, name, unique prefix of an id
  std::vector<NetworkState> all() const;
  Result<void> remove(const std::string& reference);
  std::vector<std::string> prune(const std::function<bool(const NetworkState&)>& wanted);  // names

  // --- what containers do with them ---
  // The places of a new container, checked: the one of its mode first.
  Result<std::vector<Attachment>> plan(const HostConfig& host,
                                       std::map<std::string, EndpointSettings> endpoints) const;
  // A namespace with an interface for each place; fills their endpoints and the published ports. On a failure
  // nothing is left of it.
  Result<network::Sandbox> attach(ContainerRecord& record);
  void renamed(const ContainerRecord& record);
  // Gives everything back that attach() took, and forgets it in the record.
  void release(ContainerRecord& record);
  // A container that runs on from an earlier engine. Its name service comes with recovered().
  void adopt(ContainerRecord& record, int process);
  void recovered();  // all have been adopted: the firewall is loaded
  // One that is to be started again after a boot: the addresses that it has chosen are not given to others
  // that start before it. Afterwards, however the start went, expect_no_more().
  void expect(const ContainerRecord& record);
  void expect_no_more(const std::string& container);

  // Of a container that runs with this first process, or none (0) when it does not.
  Result<void> connect(ContainerRecord& record, int process, const std::string& reference,
                       const EndpointSettings& settings);
  Result<void> disconnect(ContainerRecord& record, int process, const std::string& reference, bool force);

 private:
  struct Live {
    NetworkRecord record;
    // One of both by the driver. Neither: host, none, or it could not be made.
    std::unique_ptr<network::BridgeNetwork> bridge;
    std::unique_ptr<network::MacvlanNetwork> macvlan;
    bool has_places() const { return bridge || macvlan; }
    Result<void> reserve(const netlink::IpAddress& address, const std::string& container);
    void forget(const std::string& container);
    std::map<std::string, NetworkUser> users;  // by container
  };
  using LivePointer = std::shared_ptr<Live>;
  struct Abandoned {  // by a container that ended when no engine was there
    std::string container;
    LivePointer live;
    network::Endpoint endpoint;
  };
  struct WaysOut {  // whether an interface has the default routes
    bool ipv4 = false;
    bool ipv6 = false;
  };

  Networks(const Settings& settings, std::string engine_id, db::Database& database, EventBus& events);
  void open_predefined();
  void open_default_bridge();
  Result<std::vector<NetworkRecord>> read_stored();
  void clear_abandoned(const Result<std::vector<NetworkRecord>>& stored);
  void open_stored(std::vector<NetworkRecord> stored);
  Result<void> choose_subnet6(NetworkRecord& record) const;
  Result<network::BridgeSettings> bridge_settings(const NetworkRecord& record) const;
  Result<void> open_bridge(Live& live);
  Result<void> open_live(Live& live);  // as its driver wants it
  // networks_macvlan.cpp
  Result<network::MacvlanSettings> macvlan_settings(const NetworkRecord& record) const;
  Result<void> open_macvlan(Live& live);
  Result<void> check_parent(const NetworkRecord& record) const;  // with mutex_ held
  Result<void> close_macvlan(Live& live);
  void close_unused_macvlans();
  void clear_abandoned_parents(const std::vector<NetworkRecord>& stored) const;
  Result<LivePointer> look_up(const std::string& reference) const;  // with mutex_ held
  Result<void> remove_live(const LivePointer& live);
  NetworkState state_of(const Live& live) const;

  Result<void> attach_one(network::Sandbox& sandbox, const ContainerRecord& record, Attachment& attachment,
                          const std::string& interface_name, WaysOut ways);
  void detach_one(const ContainerRecord& record, Attachment& attachment, bool remove_interface);
  static void clear_up(const Abandoned& one);
  Result<void> claim_port(ContainerRecord& record, const WantedPort& wanted);
  void remove_inside(const Attachment& attachment, int process);
  bool leads_out(const Attachment& attachment) const;
  bool publishes(const Attachment& attachment) const;
  const network::Endpoint* reached_by(const std::vector<Attachment>& attachments, bool v6) const;
  Result<void> claim_ports(ContainerRecord& record);
  void release_ports(ContainerRecord& record);
  Result<void> check_address6(const Live& live, const std::string& text) const;
  Result<void> check_settings(const Live& live, const EndpointSettings& settings) const;
  Attachment attachment_of(const Live& live, EndpointSettings settings) const;
  names::View view_of(const ContainerRecord& record) const;
  void publish(const Live& live, const std::string& action, const std::string& container = "");

  const Settings& settings_;
  const std::string engine_id_;
  db::Database& database_;
  EventBus& events_;
  Fd claim_;  // says that this engine lives (network/abandoned.h)
  std::unique_ptr<network::Firewall> firewall_;
  network::PortTable ports_;
  NameService names_;
  std::mutex making_;  // of create(), whole: subnets are chosen one after the other
  mutable std::mutex mutex_;
  std::map<std::string, LivePointer> by_id_;
  LivePointer default_;
  std::optional<std::vector<Abandoned>> abandoned_{std::in_place};  // until recovered()
  std::unique_ptr<network::SandboxPool> plain_sandboxes_;
  std::unique_ptr<network::SandboxPool> bridged_sandboxes_;  // ready for the default bridge; null without one
};

}  // namespace berth::engine
