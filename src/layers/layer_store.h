// SPDX-License-Identifier: Apache-2.0
// Layers, each named by its diffID: the digest of its uncompressed tar (OCI image-spec, config.md, "Layer
// DiffID").
//
//   <directory>/<diffid hex>/record     kind and sizes, as JSON; written last: a layer without it does not
//                                       exist
//                            ...        the rest is its driver's: overlay_driver.cpp, erofs_driver.cpp
//   <directory>/.staging/               layers being made; swept by open()
//
// Two drivers, chosen for new layers when the store is opened; a store may hold layers of both.
//   overlay  the layer unpacked into a tree; works everywhere
//   erofs    the tar as it is and an EROFS image of its names beside it, mounted when it is needed. One mount
//            a layer, attached nowhere: a descriptor that the store keeps for the next and that whoever runs
//            a container has a copy of. So nothing shows in a mount table, nothing is left behind by a crash,
//            and what runs does not need the engine that mounted it. Where the kernel cannot lay an overlay
//            over such mounts they have places (layer_mounts.h).
//
// A layer is immutable and durable: its bytes are synced before its record, and add() returns after that.
// A LayerStore is safe to use from several threads; one process owns a directory at a time.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "archive/stream.h"
#include "base/clock.h"
#include "base/digest.h"
#include "base/error.h"
#include "base/fd.h"

namespace berth::layers {

enum class Driver { overlay, erofs };
std::string_view to_text(Driver driver) noexcept;  // "overlay", "erofs"

struct Layer {
  Digest diff_id;
  std::uint64_t size = 0;      // contents of its regular files, as image sizes are counted
  std::uint64_t tar_size = 0;  // of the uncompressed tar
  Timestamp created;           // when it was added here
  Driver driver = Driver::overlay;
};

struct AddOptions {
  std::optional<Digest> expected;        // another diffID is an error (corrupt), and nothing is kept
  std::uint64_t max_bytes = UINT64_MAX;  // of contents
  std::uint64_t max_entries = UINT64_MAX;
  std::optional<Timestamp> latest;              // of add_from_upper: times after this one become it
  bool describe_root = false;                   // of add_from_upper: the layer has the root's own attributes
  bool sync = true;                             // false: for tests and caches that may be lost
  std::function<void(std::uint64_t)> progress;  // bytes of tar so far
  std::stop_token stop;
};

// Where layers are mounted that need it (layer_mounts.h).
enum class MountPlace { nowhere, attached };

// A layer's tree as a directory for an overlay mount.
struct LowerDirectory {
  std::string path;                 // with a mount it is valid in this process, and as long as that is held
  std::shared_ptr<const Fd> mount;  // nothing: the path is a directory below the store's
};

class LayerStore {
 public:
  // Makes the directory if need be (0700) and removes what a crash left behind. `driver` makes new layers;
  // whether this machine can mount what it makes is probe_erofs's to say (erofs_mount.h).
  // `place` is for tests: without it the first mount shows what this kernel can do.
  static Result<LayerStore> open(const std::string& directory, Driver driver = Driver::overlay,
                                 std::optional<MountPlace> place = std::nullopt);
  LayerStore(LayerStore&&) noexcept;
  LayerStore& operator=(LayerStore&&) noexcept;
  ~LayerStore();

  Driver driver() const noexcept;

  // Takes a plain tar (archive::decompress first) in one pass. A layer that is there already is returned as
  // it is. On an error nothing stays.
  Result<Layer> add(archive::Source& tar, const AddOptions& options = {});
  // The changes in an overlay's upper directory as a layer; the tar is the one that pack_layer writes.
  Result<Layer> add_from_upper(int upper, const AddOptions& options = {});

  Result<Layer> get(const Digest& diff_id) const;  // not_found
  bool has(const Digest& diff_id) const noexcept;
  Result<std::vector<Layer>> list() const;  // by diffID

  // The tree, O_PATH: whiteouts inside are 0:0 character devices.
  Result<Fd> open_tree(const Digest& diff_id) const;
  Result<LowerDirectory> lower_directory(const Digest& diff_id) const;
  std::string tree_path(const Digest& diff_id) const;  // of a layer of the overlay driver
  std::string empty_path() const;                      // an empty directory, for mounts that want one more

  // The layer's tar, bit by bit. Reading it to the end verifies it: a digest that is not the diffID is an
  // error (corrupt) instead of the end. The source does not outlive the store.
  Result<std::unique_ptr<archive::Source>> open_tar(const Digest& diff_id) const;
  // Whether the layer is whole: its tar has its digest, and what else there is agrees with it.
  Result<void> verify(const Digest& diff_id) const;

  // For an engine that ends while nothing runs: takes mounts off their places, if they have any.
  void detach_mounts();

  // Missing is success. A mounted layer's tree must not be removed: whoever mounts keeps count.
  Result<void> remove(const Digest& diff_id);

  // A tar need not describe the directories its files are in ("etc/hosts" without "etc/"); such a directory
  // shall look as in the layers below. `lower`, top first, are those, all present. Call it for each layer of
  // an image once all are there, before the first mount; again is harmless.
  Result<void> inherit_directories(const Digest& diff_id, std::span<const Digest> lower);

 private:
  struct State;
  explicit LayerStore(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace berth::layers
