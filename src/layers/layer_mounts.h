// SPDX-License-Identifier: Apache-2.0
// The mounts of layers whose driver mounts them (LayerDriver::tree_is_mount): one a layer, made when it is
// first needed and shared by all who use it, so that they share its pages in the cache. A mount is either
//
//   nowhere   attached nowhere: a descriptor that goes with its last holder, in whatever process that is.
//             Overlayfs takes those as layers since Linux 6.15;
//   attached  to <directory>/.mounts/<diffid hex>, for kernels before. It outlives the engine, because
//             keepers start their containers again without it, and the next engine goes on using it.
//
// Safe to use from several threads.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "base/digest.h"
#include "base/error.h"
#include "base/fd.h"
#include "layers/layer_driver.h"
#include "layers/layer_store.h"

namespace berth::layers {

class LayerMounts {
 public:
  // `directory`: the layers', which has an empty directory (kEmptyDirectory). Without a place the first mount
  // shows what this kernel can do.
  explicit LayerMounts(std::string directory, std::optional<MountPlace> place = std::nullopt);

  Result<LowerDirectory> get(const LayerDriver& driver, int layer, const Digest& diff_id);
  // What is mounted on top of it goes on.
  void forget(const Digest& diff_id);
  // Takes every attached mount off its place. Keepers can't start containers again that they run then.
  void detach_all();
  // Those of layers that are not there any more, which a kill in the middle of a removal leaves.
  void detach_all_but(const std::function<bool(const Digest&)>& wanted);

 private:
  Result<MountPlace> place_for(int mount) const;
  Result<LowerDirectory> keep(const Digest& diff_id, Fd mount);
  Result<LowerDirectory> attach_to(const std::string& place, Fd mount) const;
  std::string path_of(const Digest& diff_id) const;

  std::string directory_;
  std::optional<MountPlace> place_;
  std::mutex mutex_;
  std::map<Digest, std::shared_ptr<const Fd>> descriptors_;
};

}  // namespace berth::layers
