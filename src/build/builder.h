// SPDX-License-Identifier: Apache-2.0
// Images from Dockerfiles. A build is planned (plan.h), its stages run at once where they do not need each
// other, each instruction that makes files is looked up in the cache by the digest of all that goes into it,
// and the rest is done.
//
//   Builder builder(options);
//   TRY(builder.load());                              // before the image store is swept
//   BuildOutcome outcome = TRY(builder.build(request, progress));
//
// A build holds nothing when it returns: no mount, no process, no directory. After a crash load() takes away
// what one has left. Thread-safe.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/fd.h"
#include "build/held_results.h"
#include "build/progress.h"
#include "build/request.h"
#include "build/result_cache.h"
#include "build/runner.h"
#include "build/workspace.h"
#include "db/database.h"
#include "image/image_store.h"
#include "layers/layer_store.h"

namespace berth::build {

// All outlive the builder.
struct BuilderOptions {
  db::Database* database = nullptr;  // opened with migrations()
  image::ImageStore* images = nullptr;
  layers::LayerStore* layers = nullptr;
  StepRunner* runner = nullptr;
  std::vector<std::string> cdi_directories;  // where RUN --device finds what devices there are (cdi.h)
  std::string directory;                     // of the builder alone, on the layers' file system
  std::int64_t cache_budget =
      20'000'000'000;  // bytes that cached results and cache mounts may take; 0: no limit
};

// A line of `docker system df -v` and `docker builder du`.
struct CacheLine {
  std::string id;
  std::string kind;  // "regular": a layer; "exec.cachemount"
  std::string description;
  std::int64_t size = 0;
  Timestamp created, last_used;
  std::int64_t uses = 0;
  bool shared = false;  // an image has the layer as well
  bool in_use = false;
};

struct PruneOptions {
  bool all = false;                       // also what images have, which frees nothing
  std::int64_t keep_bytes = 0;            // what may stay
  std::optional<Timestamp> unused_since;  // only what was last used before
};
struct PruneOutcome {
  std::vector<std::string> ids;
  std::int64_t bytes = 0;
};

struct Services;

class Builder {
 public:
  explicit Builder(BuilderOptions options);
  ~Builder();
  Builder(const Builder&) = delete;
  Builder& operator=(const Builder&) = delete;

  Result<void> load();
  Result<BuildOutcome> build(const BuildRequest& request, Progress& progress);

  // Of builds whose request says held_as.
  HeldResults& held();
  Result<Fd> open_tree(const BuildResult& result) const;  // its file system, read-only

  // For a context that was sent.
  Result<Workspace> workspace() const;

  Result<std::vector<CacheLine>> usage() const;
  Result<PruneOutcome> prune(const PruneOptions& options);

 private:
  Result<void> remove(const CacheLine& line);
  std::unique_ptr<Services> services_;
};

}  // namespace berth::build
