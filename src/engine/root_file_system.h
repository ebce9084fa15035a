// SPDX-License-Identifier: Apache-2.0
// A container's file system as a descriptor: a running one's through its first process, a stopped one's as an
// overlay mount that is attached nowhere. The descriptor is the only thing that keeps such a mount; nothing
// is left behind.
#pragma once
#include <optional>

#include "base/error.h"
#include "base/fd.h"
#include "engine/container.h"
#include "engine/settings.h"
#include "layers/layer_store.h"
#include "layers/overlay.h"
#include "runtime/users.h"

namespace berth::engine {

class RootFileSystems {
 public:
  RootFileSystems(const Settings& settings, const layers::LayerStore& layers)
      : settings_(settings), layers_(layers) {}

  // Makes the directory of mount points that every container's lowest layer is: /proc, /dev, /etc/hosts and
  // so on, so that mounting over them leaves no trace in the container's changes. An image's own entries lie
  // above and win.
  Result<void> prepare_mount_points() const;

  // Makes a new container's upper and work directories.
  Result<void> prepare(const ContainerRecord& record) const;

  // A running container's own view, for reading and writing; nothing when it does not run, or no longer.
  // Takes the container's mutex.
  Result<std::optional<Fd>> open_running(const ContainerPointer& container) const;
  // Of one that does not run, and does not begin to while this is open: without what it mounts
  // (container_files.h). Nobody else may have it open. With `operation` held.
  Result<Fd> open_to_write(const ContainerRecord& record) const;
  // The same as it is now, whatever the container does: what is written goes to `scratch`, an empty directory
  // of the caller's that stays until the mount is closed.
  Result<Fd> open_copy(const ContainerRecord& record, const std::string& scratch) const;
  // Read-only and merged, also while the container runs: for export and lookups.
  Result<Fd> open_read_only(const ContainerRecord& record) const;
  // Before every mount of the container's upper directory, as the one before may have been volatile. With
  // `operation` held; it does not run.
  Result<void> allow_another_mount(const ContainerRecord& record) const;
  // What the container has changed: its overlay's upper directory.
  Result<Fd> open_upper(const ContainerRecord& record) const;

  // What a container's overlay lies over, as its keeper is told (keeper/settings.h).
  struct Lower {
    std::vector<std::string> directories;  // top first
    std::vector<std::shared_ptr<const Fd>> mounts;
  };
  Result<Lower> lower_of(const ContainerRecord& record) const;
  layers::OverlaySpec overlay_of(const ContainerRecord& record) const;
  std::string upper_path(const ContainerRecord& record) const;
  std::string work_path(const ContainerRecord& record) const;

  // passwd and group as the container will find them. An image's are remembered, because nearly every
  // container starts with just these.
  Result<runtime::AccountFiles> account_files(const ContainerRecord& record) const;

 private:
  bool changed_accounts(const ContainerRecord& record) const;

  const Settings& settings_;
  const layers::LayerStore& layers_;
  mutable std::mutex mutex_;
  mutable std::map<std::string, runtime::AccountFiles> accounts_by_image_;
};

}  // namespace berth::engine
