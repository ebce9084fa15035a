// SPDX-License-Identifier: Apache-2.0
// What a container changed, from its overlay upper directory, as `docker diff` and `docker commit` want it.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <vector>

#include "archive/stream.h"
#include "base/clock.h"
#include "base/error.h"
#include "layers/layer_store.h"
#include "layers/overlay.h"

namespace berth::layers {

enum class ChangeKind { modified = 0, added = 1, deleted = 2 };  // numbers of the Engine API

struct Change {
  ChangeKind kind;
  std::string path;  // absolute
  bool operator==(const Change&) const = default;
};

// By path. `lower` is the merged tree below the upper: a read-only overlay mount, or the one layer. A
// directory that holds a change is modified itself; everything below a deleted directory goes with it.
Result<std::vector<Change>> changes(int upper, int lower);
// The same over layers, top first; `extra_lower` as in OverlaySpec.
Result<std::vector<Change>> changes(const LayerStore& store, int upper, const OverlaySpec& spec);

// Bytes in regular files of an upper or any other tree, hard links counted once: `docker ps --size`.
Result<std::uint64_t> tree_size(int tree);

// An upper directory as a layer's tar (OCI image-spec, layer.md): overlay's whiteouts and opaque directories
// become ".wh." entries. Equal uppers give equal bytes. Writes the trailer, does not finish the sink.
struct PackLayerOptions {
  std::optional<Timestamp> latest;  // times after this one become it (SOURCE_DATE_EPOCH)
  bool describe_root =
      false;  // begins with an entry for the root itself, which nothing is inherited for then
  std::stop_token stop;
};
Result<void> pack_layer(int upper, archive::Sink& sink, const PackLayerOptions& options = {});

}  // namespace berth::layers
