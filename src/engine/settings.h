// SPDX-License-Identifier: Apache-2.0
// How one engine is set up: from berthd's flags and daemon.json (daemon_config.h), fixed while it runs. And
// the layout of what it owns on disk.
//
//   <data-root>/                         0711: a container's files are reached by descriptor, not by walking
//   here
//     meta.db                            records.h
//     layers/                            layers/layer_store.h
//     blobs/                             content/blob_store.h: what registries sent, as they sent it
//     images/                            staging of imports and loads
//     containers/<id>/                   upper/ work/ (overlay), hostname hosts resolv.conf, <id>-json.log
//     containers/.removed/               what a removal has taken out of sight and not deleted yet
//     volumes/<name>/_data               volumes.h; beside _data: filling, while an image's files are copied
//     in volumes/.removed/                  what a removal has taken out of sight and not deleted yet
//     build/                             build/builder.h: cache mounts, contexts, what steps work in
//     mount-points/                      the lowest directory of every container: what is mounted over
//   <exec-root>/                         on a tmpfs as a rule: gone after a reboot
//     containers/<id>/                   keeper/paths.h
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "engine/host_config.h"
#include "keeper/settings.h"
#include "network/subnet_choice.h"
#include "registry/settings.h"

namespace berth::engine {

struct Settings {
  std::string data_root = "/var/lib/berth";
  std::string exec_root = "/run/berth";
  std::string keeper_program;    // berth-keeper; beside this program when not set
  std::string resolver_program;  // berth-resolver; beside this program when not set
  std::string init_program;      // what --init runs as the first process: berth-init
  bool init_by_default = false;
  std::string storage_driver;  // of new layers: "erofs", "overlay", "overlay2"; "" chooses (storage.h)
  std::string cgroup_parent = "/berth";
  std::string log_driver = "json-file";
  std::map<std::string, std::string> log_options;
  std::vector<UlimitSetting> default_ulimits;
  std::int64_t default_shm_size = 64 << 20;
  std::vector<std::string> dns, dns_options, dns_search;
  std::string bridge;           // "" chooses; "none" means no bridge network
  bool ipv6 = false;            // on the default bridge
  std::string fixed_cidr_v6;    // its IPv6 subnet; "" chooses
  std::string bridge_address;   // "172.30.0.1/16"; "" chooses
  std::string fixed_cidr;       // the part of its subnet that containers get addresses of; "" is all of it
  std::string default_gateway;  // its containers' instead of the host; "" is the host
  std::string default_gateway_v6;
  // Out of which networks get subnets that name none; none: out of the usual ones.
  std::vector<network::SubnetPool> subnet_pools;
  std::vector<network::SubnetPool6> subnet_pools6;
  // What a new network has, by driver, unless it is given otherwise.
  std::map<std::string, std::map<std::string, std::string>> network_options;
  std::string published_at = "0.0.0.0";  // where the default bridge's ports are, if they do not say so
  std::string host_gateway;              // what containers call "host-gateway"; "" chooses
  int mtu = 1500;
  bool icc = true;               // containers on the default bridge reach each other
  bool masquerade = true;        // what leaves the default bridge has the host's address
  bool forward = true;           // the host is made to forward
  bool forward_for_all = false;  // and not for containers alone
  bool no_new_privileges = false;
  std::string seccomp_profile;  // a file; "" is the built-in allow-list, "unconfined" none
  std::vector<std::string> labels;
  registry::Settings registries;
  bool debug = false;

  std::string containers_directory() const { return data_root + "/containers"; }
  std::string removed_directory() const { return containers_directory() + "/.removed"; }
  std::string container_directory(const std::string& id) const { return containers_directory() + "/" + id; }
  std::string mount_points_directory() const { return data_root + "/mount-points"; }
  std::string mount_points_of(const std::string& id) const {
    return container_directory(id) + "/mount-points";
  }
  std::string build_directory() const { return data_root + "/build"; }
  std::string layers_directory() const { return data_root + "/layers"; }
  std::string volumes_directory() const { return data_root + "/volumes"; }
  std::string run_directory(const std::string& id) const { return exec_root + "/containers/" + id; }
  std::string log_path(const std::string& id) const {
    return container_directory(id) + "/" + id + "-json.log";
  }
};

// The engine's log settings and a container's own, as the keeper takes them. Drivers: json-file and local
// (both Docker's json-file format here), none. Options: max-size, max-file; others that Docker has are taken
// and ignored.
Result<keeper::LogSettings> resolve_log_settings(const Settings& settings, const HostConfig& config,
                                                 const std::string& path);

}  // namespace berth::engine
