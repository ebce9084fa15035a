// SPDX-License-Identifier: Apache-2.0
// A layer as a directory tree:
//
//   <layer>/fs/        the tree, whiteouts as overlayfs wants them
//           replaced/  contents that the tar has and the tree lost (an entry written twice)
//           framing    the tar without file contents, zstd: gives the tar back bit by bit (framing.h)
//           implied    (layer_driver.h)
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "archive/xattr.h"
#include "base/file.h"
#include "layers/inherited.h"
#include "layers/layer_driver.h"
#include "layers/tar_split.h"
#include "sys/rooted_path.h"

namespace berth::layers {
namespace {

constexpr const char* kTree = "fs";

Result<void> set_attributes(int directory, const InheritedDirectory& wanted) {
  if (fchown(directory, wanted.uid, wanted.gid) != 0) return fail_errno(errno, "change a directory's owner");
  if (fchmod(directory, wanted.mode) != 0) return fail_errno(errno, "change a directory's mode");
  TRY(archive::write_xattrs(directory, wanted.xattrs));
  constexpr std::int64_t kSecond = 1'000'000'000;
  const std::int64_t rest = (wanted.mtime % kSecond + kSecond) % kSecond;
  const struct timespec time = {wanted.mtime / kSecond - (wanted.mtime % kSecond < 0 ? 1 : 0), rest};
  const struct timespec times[2] = {time, time};
  if (futimens(directory, times) != 0) return fail_errno(errno, "set a directory's times");
  if (fsync(directory) != 0) return fail_errno(errno, "sync the layer's directory {}", wanted.path);
  return {};
}

class OverlayDriver final : public LayerDriver {
 public:
  Driver kind() const noexcept override { return Driver::overlay; }
  bool tree_is_mount() const noexcept override { return false; }

  Result<MadeLayer> make(archive::Source& tar, int layer, const AddOptions& options) const override {
    if (mkdirat(layer, kTree, 0755) != 0) return fail_errno(errno, "create directory {}", kTree);
    const MadeLayer made = TRY(split_tar(tar, layer, options));
    if (options.sync && syncfs(layer) != 0) return fail_errno(errno, "sync the layer");
    return made;
  }

  Result<std::unique_ptr<archive::Source>> open_tar(Fd layer, const Digest& diff_id) const override {
    return join_tar(std::move(layer), diff_id);
  }

  Result<void> verify(Fd layer, const Digest& diff_id) const override {
    std::unique_ptr<archive::Source> tar = TRY(open_tar(std::move(layer), diff_id));
    return read_through(*tar);
  }

  Result<Fd> open_tree(int layer, const Digest&) const override {
    return open_at(layer, kTree, O_PATH | O_DIRECTORY | O_NOFOLLOW);
  }

  Result<bool> inherit(int layer, const Digest& diff_id, std::span<const Fd> below) const override {
    const std::vector<InheritedDirectory> inherited = TRY(look_up_inherited(layer, below));
    Fd tree = TRY(open_tree(layer, diff_id));
    for (const InheritedDirectory& wanted : inherited) {
      Result<Fd> directory = sys::open_in_root(tree.get(), wanted.path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
      if (directory) TRY(set_attributes(directory->get(), wanted));
    }
    return !inherited.empty();
  }
};

}  // namespace

const LayerDriver& overlay_driver() {
  static const OverlayDriver driver;
  return driver;
}

}  // namespace berth::layers
