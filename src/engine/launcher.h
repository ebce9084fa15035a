// SPDX-License-Identifier: Apache-2.0
// From a stopped container to a running one: facts are looked up, the bundle is written, the network
// attached, a keeper spawned and told to start. On a failure nothing is left of it.
#pragma once
#include <memory>
#include <string>

#include "base/error.h"
#include "engine/container.h"
#include "engine/keeper_link.h"
#include "engine/keeper_pool.h"
#include "engine/registry.h"
#include "engine/root_file_system.h"
#include "engine/runtime_config.h"
#include "engine/settings.h"
#include "engine/volumes.h"
#include "network/bridge.h"
#include "network/sandbox.h"

namespace berth::engine {

// Namespaces that are ready before they are asked for.
struct Sandboxes {
  network::SandboxPool& plain;
  network::SandboxPool* bridged;  // null without a bridge network
};

class Launcher {
 public:
  // `bridge` may be null: then only --network none, host and container: work.
  Launcher(const Settings& settings, const Registry& registry, const RootFileSystems& roots, Volumes& volumes,
           KeeperWatch& watch, Sandboxes sandboxes, network::BridgeNetwork* bridge);

  // With the container's `operation` held.
  Result<void> launch(const ContainerPointer& container);

  // Gives back what launch() took outside of the keeper: the address. Takes the container's mutex.
  void release_network(Container& container);

  const std::vector<std::string>& capabilities() const { return capabilities_; }
  const Settings& settings() const { return settings_; }

 private:
  struct Network {
    std::optional<network::Sandbox> sandbox;
    std::optional<network::Endpoint> endpoint;
  };
  Result<StartFacts> gather(const ContainerRecord& record) const;
  Result<void> share_namespaces(const ContainerRecord& record, StartFacts& facts) const;
  Result<void> choose_seccomp(const ContainerRecord& record, StartFacts& facts) const;
  Result<Network> attach_network(const ContainerRecord& record);
  Result<void> write_network_files(const ContainerRecord& record, const StartFacts& facts,
                                   const std::optional<network::Endpoint>& endpoint) const;
  Result<void> prepare_sources(const ContainerRecord& record);
  Result<void> write_bundle(const ContainerRecord& record, const oci::RuntimeSpec& spec,
                            const RootFileSystems::Lower& lower) const;
  Result<void> start_keeper(const ContainerPointer& container, int network,
                            const RootFileSystems::Lower& lower);

  const Settings& settings_;
  const Registry& registry_;
  const RootFileSystems& roots_;
  Volumes& volumes_;
  KeeperWatch& watch_;
  Sandboxes sandboxes_;
  network::BridgeNetwork* bridge_;
  KeeperPool keepers_;
  std::vector<std::string> capabilities_;  // of this machine
};

}  // namespace berth::engine
