// SPDX-License-Identifier: Apache-2.0
// The engine: one object that owns the services and wires them together. It decides nothing itself; callers
// take the service they need.
//
// Lifecycle: open() takes the data root, finds what runs, and serves. Destruction stops the engine and leaves
// every container running: a later engine on the same roots finds them. The bridge goes when no container is
// on it.
#pragma once
#include <memory>
#include <string>

#include "base/error.h"
#include "base/fd.h"
#include "build/builder.h"
#include "content/blob_store.h"
#include "db/database.h"
#include "engine/build_policy.h"
#include "engine/build_runner.h"
#include "engine/container.h"
#include "engine/creator.h"
#include "engine/events.h"
#include "engine/execs.h"
#include "engine/health.h"
#include "engine/keeper_link.h"
#include "engine/launcher.h"
#include "engine/lifecycle.h"
#include "engine/networks.h"
#include "engine/registry.h"
#include "engine/root_file_system.h"
#include "engine/settings.h"
#include "engine/storage.h"
#include "engine/volumes.h"
#include "engine/work_queue.h"
#include "image/image_store.h"
#include "layers/layer_store.h"

namespace berth::engine {

class Engine {
 public:
  // Refuses a data root that another engine uses (ErrorKind::conflict).
  static Result<std::unique_ptr<Engine>> open(Settings settings, BuildPolicy builds = {});
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  const Settings& settings() const { return settings_; }
  const BuildPolicy& build_policy() const { return builds_; }
  const std::string& id() const { return id_; }  // stays the same for a data root
  Registry& containers() { return *registry_; }
  Creator& creator() { return *creator_; }
  Lifecycle& lifecycle() { return *lifecycle_; }
  Execs& execs() { return *execs_; }
  image::ImageStore& images() { return *images_; }
  layers::LayerStore& layers() { return *layers_; }
  const Storage& storage() const { return storage_; }
  const RootFileSystems& roots() const { return *roots_; }
  Volumes& volumes() { return *volumes_; }
  EventBus& events() { return events_; }
  Networks& networks() { return *networks_; }
  db::Database& database() { return *database_; }
  DiskReserve& reserve() { return *reserve_; }
  build::Builder& builder() { return *builder_; }

  image::UsersOf image_users();

 private:
  Engine(Settings settings, BuildPolicy builds)
      : settings_(std::move(settings)), builds_(std::move(builds)) {}
  Result<void> take_roots();
  Result<void> open_storage();
  Result<void> start_services();
  Result<void> open_builder();
  Result<void> recover();

  // In the order of construction: what is below uses what is above.
  Settings settings_;
  BuildPolicy builds_;
  Fd lock_;
  std::string id_;
  EventBus events_;
  std::unique_ptr<db::Database> database_;
  std::unique_ptr<content::BlobStore> blobs_;
  Storage storage_;
  std::optional<layers::LayerStore> layers_;
  std::unique_ptr<image::ImageStore> images_;
  std::unique_ptr<DiskReserve> reserve_;
  std::unique_ptr<Registry> registry_;
  std::unique_ptr<RootFileSystems> roots_;
  std::unique_ptr<Volumes> volumes_;
  std::unique_ptr<Networks> networks_;
  std::unique_ptr<Launcher> launcher_;
  std::unique_ptr<Lifecycle> lifecycle_;
  std::unique_ptr<Execs> execs_;
  std::unique_ptr<HealthMonitor> health_;
  std::unique_ptr<Creator> creator_;
  std::unique_ptr<BuildRunner> build_runner_;
  std::unique_ptr<build::Builder> builder_;
  std::unique_ptr<KeeperWatch> watch_;
  WorkQueue work_{8};  // stopped first, in the destructor: its work uses everything above
};

}  // namespace berth::engine
