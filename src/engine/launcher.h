// SPDX-License-Identifier: Apache-2.0
// From a stopped container to a running one: facts are looked up, the bundle is written, the network
// attached, a keeper spawned and told to start. On a failure nothing is left of it.
#pragma once
#include <memory>
#include <mutex>
#include <string>

#include "base/error.h"
#include "engine/container.h"
#include "engine/keeper_link.h"
#include "engine/keeper_pool.h"
#include "engine/networks.h"
#include "engine/registry.h"
#include "engine/root_file_system.h"
#include "engine/runtime_config.h"
#include "engine/settings.h"
#include "engine/volumes.h"

namespace berth::engine {

class Launcher {
 public:
  Launcher(const Settings& settings, Registry& registry, const RootFileSystems& roots, Volumes& volumes,
           KeeperWatch& watch, Networks& networks);

  // With the container's `operation` held.
  Result<void> launch(const ContainerPointer& container);

  // Gives back what launch() took outside of the keeper: the address. Takes the container's mutex.
  void release_network(Container& container);

  // Its /etc/hosts names those that it links to as they are now.
  void follow_links(const ContainerRecord& record);
  // Its own lines in its hosts file as well, when it runs and its places on networks have changed.
  void follow_places(const ContainerRecord& before, const ContainerRecord& now);
  // What --link gives to its processes; nothing of a linked container that does not run.
  std::vector<std::string> link_environment(const ContainerRecord& record) const;

  const std::vector<std::string>& capabilities() const { return capabilities_; }
  const Settings& settings() const { return settings_; }
  Networks& networks() { return networks_; }

 private:
  Result<StartFacts> gather(const ContainerRecord& record) const;
  Result<void> share_namespaces(const ContainerRecord& record, StartFacts& facts) const;
  Result<void> choose_seccomp(const ContainerRecord& record, StartFacts& facts) const;
  Result<std::optional<network::Sandbox>> attach_network(Container& container, ContainerRecord& record);
  Result<void> write_network_files(const ContainerRecord& record, const StartFacts& facts) const;
  Result<void> write_hosts(const ContainerRecord& record, const StartFacts& facts) const;
  void tell_linking(const ContainerRecord& changed);
  Result<void> prepare_sources(const ContainerRecord& record);
  Result<void> write_bundle(const ContainerRecord& record, const oci::RuntimeSpec& spec,
                            const RootFileSystems::Lower& lower) const;
  Result<void> start_keeper(const ContainerPointer& container, int network,
                            const RootFileSystems::Lower& lower);

  const Settings& settings_;
  Registry& registry_;
  const RootFileSystems& roots_;
  Volumes& volumes_;
  KeeperWatch& watch_;
  Networks& networks_;
  KeeperPool keepers_;
  mutable std::mutex hosts_;               // held while hosts files are read and written
  std::vector<std::string> capabilities_;  // of this machine
};

}  // namespace berth::engine
