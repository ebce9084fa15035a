// SPDX-License-Identifier: Apache-2.0
// Networks as objects, and containers' places on them. bridge, host and none are always there; users make
// others with the drivers bridge and macvlan. A network lives from create() to remove(); its Linux bridge is
// there while an engine runs or a container is on it.
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
#include "engine/network_ipam.h"
#include "engine/network_record.h"
#include "engine/port_mapping.h"
#include "engine/settings.h"
#include "network/bridge.h"
#include "network/firewall.h"
#include "network/forwarding.h"
#include "network/macvlan.h"
#include "network/ports.h"
#include "network/sandbox.h"

namespace berth::engine {

struct NewNetwork {
  std::string name;
  std::string driver;
  bool internal = false;
  bool attachable = false;
  bool ipv4 = true;
  bool ipv6 = false;
  bool ingress = false;
  std::string scope;
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
  Result<NetworkState> create(const NewNetwork& asked);
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
  // A container that runs on from an earlier engine. Its name service comes with recovered(). True when the
  // record has changed: it is to be saved.
  bool adopt(ContainerRecord& record, const keeper::State& state);
  void recovered();  // all have been adopted: the firewall is loaded
  // What of the host's keeps containers from others, in sentences.
  std::vector<std::string> warnings() const;
  // One that is to be started again after a boot: the addresses that it has chosen are not given to others
  // that start before it. Afterwards, however the start went, expect_no_more().
  void expect(const ContainerRecord& record);
  void expect_no_more(const std::string& container);

  // Of a container that runs with this first process, or none (0) when it does not.
  Result<void> connect(ContainerRecord& record, int process, const std::string& reference,
                       const EndpointSettings& settings);
  Result<void> disconnect(ContainerRecord& record, int process, const std::string& reference, bool force);
  // The host, as the container reaches it ("host-gateway").
  std::string host_gateway(const ContainerRecord& record) const;

  // Where the host's packets for published ports reach a container, and at which address of the host they are
  // published that do not say so.
  struct Reached {
    const Attachment* ipv4 = nullptr;
    const Attachment* ipv6 = nullptr;
    std::optional<netlink::IpAddress> binding = {};
  };

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
  struct Ways {  // the networks, by id, that default routes and published ports go by; "" for none
    std::string out, out6, reached, reached6;
  };
  struct WaysOut {  // whether an interface has the default routes
    bool ipv4 = false;
    bool ipv6 = false;
  };

  Networks(const Settings& settings, std::string engine_id, db::Database& database, EventBus& events);
  void add_predefined();
  void open_default_bridge();
  Result<network::BridgeSettings> default_bridge_settings();
  // What is on record. Not all of it: then nothing can be said of what else is there.
  struct Stored {
    std::vector<NetworkRecord> records;
    bool whole = false;
  };
  Stored read_stored();
  void clear_abandoned(const Stored& stored);
  void open_stored();
  void fence_others();
  void want_forwarding(bool ipv6);
  void turn_forwarding_on();
  std::vector<netlink::Ipv4Prefix> subnets_beside(const Live& live) const;
  const Live* overlapping(const NetworkRecord& record) const;  // with mutex_ held
  Result<void> check_new(const NetworkRecord& record) const;   // with mutex_ held
  NewNetwork with_usual_options(NewNetwork wanted) const;
  std::vector<network::SubnetPool> subnet_pools() const;
  Result<void> choose_subnet6(NetworkRecord& record) const;
  Result<network::BridgeSettings> bridge_settings(const Live& live) const;
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
                          WaysOut ways);
  void detach_one(const ContainerRecord& record, Attachment& attachment, bool remove_interface);
  bool drop_lost_places(ContainerRecord& record) const;
  void remove_unrecorded_interfaces();
  static void clear_up(const Abandoned& one);
  Result<void> claim_port(ContainerRecord& record, const WantedPort& wanted, const Reached& reached,
                          const std::vector<network::PublishedPort>& before);
  void remove_inside(const Attachment& attachment, int process);
  bool leads_out(const Attachment& attachment) const;
  bool leads_out6(const Attachment& attachment) const;
  bool publishes(const Attachment& attachment) const;
  Ways ways_of(const ContainerRecord& record) const;
  Result<void> settle(network::Sandbox& sandbox, ContainerRecord& record, const Ways& before);
  const Attachment* reached_by(const std::vector<Attachment>& attachments, bool v6) const;
  Reached reached(const ContainerRecord& record) const;
  Result<void> check_ports_without(const ContainerRecord& record, const Attachment& gone) const;
  // `before` is what it had published, to have the same numbers again.
  Result<void> claim_ports(ContainerRecord& record, const std::vector<network::PublishedPort>& before = {});
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
  network::Forwarding forwarding_;
  std::unique_ptr<network::Firewall> firewall_;
  network::PortTable ports_;
  NameService names_;
  std::mutex making_;  // of create(), whole: subnets are chosen one after the other
  mutable std::mutex mutex_;
  std::map<std::string, LivePointer> by_id_;
  LivePointer default_;
  bool fenced_ = false;  // bridges of ours that are no network's are on the host
  std::optional<std::vector<Abandoned>> abandoned_{std::in_place};  // until recovered()
  std::unique_ptr<network::SandboxPool> plain_sandboxes_;
  std::unique_ptr<network::SandboxPool> bridged_sandboxes_;  // ready for the default bridge; null without one
};

}  // namespace berth::engine
