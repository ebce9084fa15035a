// SPDX-License-Identifier: Apache-2.0
// Overlay mounts (Documentation/filesystems/overlayfs.rst) over layers. A mount is made detached: it is a
// descriptor that is attached nowhere and goes away with it, usable at once through openat(fd, ...). Whoever
// wants it in the file tree attaches it with attach(), for a container inside its own mount namespace.
#pragma once
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/digest.h"
#include "base/error.h"
#include "base/fd.h"
#include "layers/layer_store.h"

namespace berth::layers {

// Directories of a container's own: upper takes its changes, work is overlay's scratch. Same file system.
struct Upper {
  std::string upper;
  std::string work;
};

struct OverlaySpec {
  std::vector<Digest> lower;             // layers, top first; at least one, or one of extra_lower
  std::vector<std::string> extra_lower;  // directories above the layers, top first (generated files)
  std::vector<std::string> below;        // directories below the layers, top first
  std::optional<Upper> upper;            // none: read-only
  bool read_only = false;
  bool volatile_upper = false;  // no sync at all: the upper is worthless after a crash of the machine
  bool user_xattrs = false;     // inside a user namespace: user.overlay.* instead of trusted.overlay.*
};

// A mount that is attached nowhere. Redirects are neither made nor followed, no index, no metacopy: a
// hostile layer's or container's xattrs mean nothing.
Result<Fd> mount_detached(const LayerStore& store, const OverlaySpec& spec);

// The same over plain directories, top first.
Result<Fd> mount_directories(std::span<const std::string> lower, const OverlaySpec& spec);

// Attaches a detached mount on an existing directory.
Result<void> attach(int mount, const std::string& directory);

// Makes <directory>/upper and <directory>/work. The upper's root gets mode, owner, times and xattrs of `like`
// (the root of the layers below): it is what the container sees as "/".
Result<Upper> prepare_upper(const std::string& directory, int like);

// A volatile mount leaves a mark beside its upper, and the kernel mounts that upper never again. This takes
// the mark away: for whoever knows that the machine has not crashed since, or that nothing is lost by it.
Result<void> allow_another_mount(const Upper& upper);

// What the kernel cannot do by the new mount calls is done by the old one; exposed for tests.
enum class MountCalls { newest, lowerdir_string, old };
Result<Fd> mount_directories_with(std::span<const std::string> lower, const OverlaySpec& spec,
                                  MountCalls calls);

}  // namespace berth::layers
