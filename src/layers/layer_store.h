// SPDX-License-Identifier: Apache-2.0
// Layers, each a directory tree that is named by its diffID: the digest of its uncompressed tar (OCI
// image-spec, config.md, "Layer DiffID").
//
//   <directory>/<diffid hex>/fs/        the tree, whiteouts as overlayfs wants them
//                            replaced/  contents that the tar has and the tree lost (an entry written twice)
//                            framing    the tar without file contents, zstd: gives the tar back bit by bit
//                            implied    directories that the tar did not describe
//                            record     sizes, as JSON; written last: a layer without it does not exist
//   <directory>/.staging/               layers being made; swept by open()
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
#include <vector>

#include "archive/stream.h"
#include "base/clock.h"
#include "base/digest.h"
#include "base/error.h"
#include "base/fd.h"

namespace berth::layers {

struct Layer {
  Digest diff_id;
  std::uint64_t size = 0;      // contents of its regular files, as image sizes are counted
  std::uint64_t tar_size = 0;  // of the uncompressed tar
  Timestamp created;           // when it was added here
};

struct AddOptions {
  std::optional<Digest> expected;        // another diffID is an error (corrupt), and nothing is kept
  std::uint64_t max_bytes = UINT64_MAX;  // of contents
  std::uint64_t max_entries = UINT64_MAX;
  bool sync = true;                             // false: for tests and caches that may be lost
  std::function<void(std::uint64_t)> progress;  // bytes of tar so far
  std::stop_token stop;
};

class LayerStore {
 public:
  // Makes the directory if need be (0700) and removes what a crash left behind.
  static Result<LayerStore> open(const std::string& directory);
  LayerStore(LayerStore&&) noexcept;
  LayerStore& operator=(LayerStore&&) noexcept;
  ~LayerStore();

  // Unpacks a plain tar (archive::decompress first) in one pass. A layer that is there already is returned as
  // it is. On an error nothing stays.
  Result<Layer> add(archive::Source& tar, const AddOptions& options = {});
  // The changes in an overlay's upper directory as a layer; the tar is the one that pack_layer writes.
  Result<Layer> add_from_upper(int upper, const AddOptions& options = {});

  Result<Layer> get(const Digest& diff_id) const;  // not_found
  bool has(const Digest& diff_id) const noexcept;
  Result<std::vector<Layer>> list() const;  // by diffID

  // The tree, O_PATH: whiteouts inside are 0:0 character devices.
  Result<Fd> open_tree(const Digest& diff_id) const;
  std::string tree_path(const Digest& diff_id) const;  // for overlay's options
  std::string empty_path() const;                      // an empty directory, for mounts that want one more

  // The layer's tar, bit by bit. Reading it to the end verifies it: a digest that is not the diffID is an
  // error (corrupt) instead of the end. The source does not outlive the store.
  Result<std::unique_ptr<archive::Source>> open_tar(const Digest& diff_id) const;
  // The same, read and thrown away: for a check of the system.
  Result<void> verify(const Digest& diff_id) const;

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
