// SPDX-License-Identifier: Apache-2.0
// How a layer lies on disk. LayerStore (layer_store.h) has names, records, staging and locking; a driver has
// what is in one layer's directory. Every driver passes the same tests: layer_store_test.cpp.
#pragma once
#include <memory>
#include <span>
#include <string_view>

#include "archive/stream.h"
#include "base/digest.h"
#include "base/error.h"
#include "base/fd.h"
#include "layers/layer_store.h"

namespace berth::layers {

// Directories that a layer's tar did not describe, each path followed by a NUL byte. Every driver's layers
// have it, if there are any.
inline constexpr const char* kImpliedFile = "implied";

// In the layers' directory, for mounts that want one more.
inline constexpr const char* kEmptyDirectory = "/.empty";

struct MadeLayer {
  Digest diff_id;
  std::uint64_t size = 0;      // contents of regular files
  std::uint64_t tar_size = 0;  // of the uncompressed tar
};

// Stateless. `layer` is the layer's own open directory.
class LayerDriver {
 public:
  virtual ~LayerDriver() = default;
  virtual Driver kind() const noexcept = 0;

  // Fills an empty directory from a plain tar, in one pass. With options.sync all of it is on the disk then.
  virtual Result<MadeLayer> make(archive::Source& tar, int layer, const AddOptions& options) const = 0;
  // The tar again. Its end is an error (corrupt) when the bytes before were not those of `diff_id`.
  virtual Result<std::unique_ptr<archive::Source>> open_tar(Fd layer, const Digest& diff_id) const = 0;
  // What reading the tar does not tell: whether the rest agrees with it. May read the tar on the way.
  virtual Result<void> verify(Fd layer, const Digest& diff_id) const = 0;

  // The tree: a directory of the layer's, or a mount of it that is attached nowhere. O_PATH.
  virtual Result<Fd> open_tree(int layer, const Digest& diff_id) const = 0;
  virtual bool tree_is_mount() const noexcept = 0;

  // Gives implied directories the attributes that they have in `below`, trees from the top. True when
  // something changed; a mount of before shows the old ones.
  virtual Result<bool> inherit(int layer, const Digest& diff_id, std::span<const Fd> below) const = 0;
};

const LayerDriver& driver_of(Driver kind);
const LayerDriver& overlay_driver();  // overlay_driver.cpp
const LayerDriver& erofs_driver();    // erofs_driver.cpp

// Shared by drivers.
class ProgressSource final : public archive::Source {
 public:
  ProgressSource(archive::Source& inner, const std::function<void(std::uint64_t)>& progress)
      : inner_(inner), progress_(progress) {}
  Result<std::size_t> read(std::span<char> buffer) override {
    const std::size_t size = TRY(inner_.read(buffer));
    total_ += size;
    if (progress_) progress_(total_);
    return size;
  }

 private:
  archive::Source& inner_;
  const std::function<void(std::uint64_t)>& progress_;
  std::uint64_t total_ = 0;
};

Result<void> read_through(archive::Source& source);  // to its end, for what it checks on the way

}  // namespace berth::layers
