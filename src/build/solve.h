// SPDX-License-Identifier: Apache-2.0
// One build while it goes: what its stages share. Only for this room's sources.
#pragma once
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "build/builder.h"
#include "build/cache_import.h"
#include "build/cache_mounts.h"
#include "build/file_digests.h"
#include "build/in_flight.h"
#include "build/memory_room.h"
#include "build/plan.h"
#include "build/progress.h"
#include "build/remote_contexts.h"
#include "build/request.h"
#include "build/result_cache.h"
#include "dockerfile/dockerfile.h"
#include "layers/overlay.h"
#include "oci/image_config.h"

namespace berth::build {

// What all builds of a Builder share.
struct Services {
  BuilderOptions options;
  ResultCache cache;
  CacheMounts mounts;
  FileDigests files;
  MemoryRooms memory;
  InFlight<CachedResult> in_flight;
  HeldResults held;
};

// What a stage came to: an image's configuration, its layers among it.
struct StageResult {
  oci::ImageConfig config;
  std::map<std::string, std::string> arguments;  // of ARG: stages that begin with it have them as well
};

// Where stages wait for others.
class StageBoard {
 public:
  StageBoard(std::size_t stages, const Plan& plan);
  void put(std::size_t index, Result<StageResult> result);
  Result<StageResult> wait(std::size_t index, const std::stop_token& stop);

 private:
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::vector<std::optional<Result<StageResult>>> results_;
  std::vector<bool> planned_;
};

struct Solve {
  Services& services;
  const BuildRequest& request;
  const dockerfile::Dockerfile& file;
  const Plan& plan;
  Progress& progress;
  std::optional<Timestamp> epoch;     // SOURCE_DATE_EPOCH: no time in the image is later
  std::stop_token stop;               // of the request, or because a stage has failed
  image::ImageStore::Adding& adding;  // with the mutex held
  const ImportedCaches& imported;
  RemoteContexts remotes;
  StageBoard board;
  std::mutex mutex;
  std::set<std::string> used_arguments;
  std::size_t cached = 0;
  std::size_t made = 0;               // layers that are new to the cache
  std::vector<CachedResult> results;  // of all instructions that make files
};

// The file system of these layers (base first), or an empty one.
layers::OverlaySpec file_system_of(const layers::LayerStore& store, const std::vector<Digest>& diff_ids);
layers::OverlaySpec file_system_of(const Solve& solve, const std::vector<Digest>& diff_ids);
// The same, read-only: as a descriptor, and as a tree that COPY takes from.
Result<Fd> open_file_system(const layers::LayerStore& store, const std::vector<Digest>& diff_ids);
Result<Fd> open_file_system(const Solve& solve, const std::vector<Digest>& diff_ids);
Result<std::shared_ptr<const Tree>> mount_tree(const Solve& solve, const std::vector<Digest>& diff_ids);

// An image by its name, pulled if need be; its layers stay as long as the build goes on.
Result<image::Image> base_image(Solve& solve, const std::string& name,
                                const std::optional<oci::Platform>& platform, const Step& step);

// Layers base first, as one name for all of them.
Digest chain_digest(const std::vector<Digest>& diff_ids);

}  // namespace berth::build
