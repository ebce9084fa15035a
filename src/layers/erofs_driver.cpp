// SPDX-License-Identifier: Apache-2.0
// A layer as its tar and an EROFS image beside it:
//
//   <layer>/tar          as it came, byte for byte
//           index.erofs  names and attributes, pointing into tar and extra (erofs_image.h); behind the
//           image's
//                        last block the inherited attributes that it was written with (inherited.h)
//           extra        contents that the tar does not hold in one piece, if there are any; sparse
//           implied      (layer_driver.h)
//
// Nothing is unpacked: one pass over the tar writes it down and gathers the tree in memory.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <optional>

#include "base/buffer.h"
#include "base/file.h"
#include "base/write_behind.h"
#include "layers/erofs_image.h"
#include "layers/erofs_mount.h"
#include "layers/inherited.h"
#include "layers/layer_driver.h"
#include "layers/tree.h"

namespace berth::layers {
namespace {

constexpr const char* kTar = "tar";
constexpr const char* kIndex = "index.erofs";
constexpr const char* kNextIndex = "index.erofs.new";
constexpr const char* kExtra = "extra";
constexpr std::uint64_t kExtraLimit = std::uint64_t{1} << 40;  // bytes, holes included
constexpr std::size_t kPiece = 256u << 10;
constexpr std::size_t kInheritedLimit = 256u << 20;
constexpr off_t kBlocksInSuperBlock = 1024 + 36;  // where the image says how many it has

Result<void> write_at(int file, std::uint64_t offset, std::string_view data) {
  while (!data.empty()) {
    const ssize_t size = pwrite(file, data.data(), data.size(), static_cast<off_t>(offset));
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return fail_errno(errno, "write the layer's contents");
    data.remove_prefix(static_cast<std::size_t>(size));
    offset += static_cast<std::uint64_t>(size);
  }
  return {};
}

// Reads all of `out`; false when the file ends before.
Result<bool> read_at(int file, std::uint64_t offset, std::span<char> out) {
  while (!out.empty()) {
    const ssize_t size = pread(file, out.data(), out.size(), static_cast<off_t>(offset));
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return fail_errno(errno, "read the layer's contents");
    if (size == 0) return false;
    out = out.subspan(static_cast<std::size_t>(size));
    offset += static_cast<std::uint64_t>(size);
  }
  return true;
}

Result<std::uint64_t> size_of(int file) {
  struct stat status;
  if (fstat(file, &status) != 0) return fail_errno(errno, "stat a file of the layer");
  return static_cast<std::uint64_t>(status.st_size);
}

// Places in the file of extra contents, one behind the other.
class ExtraPlaces : public ExtraContents {
 public:
  Result<std::uint64_t> reserve(std::uint64_t size) override {
    if (size > kExtraLimit - end_)
      return fail(ErrorKind::exhausted, "the layer's sparse files have more than {} bytes", kExtraLimit);
    return std::exchange(end_, end_ + (size + kErofsBlock - 1) / kErofsBlock * kErofsBlock);
  }
  std::uint64_t size() const { return end_; }

 private:
  std::uint64_t end_ = 0;
};

class ExtraWriter final : public ExtraPlaces {
 public:
  explicit ExtraWriter(int layer) : layer_(layer) {}

  Result<void> write(std::uint64_t offset, std::string_view data) override {
    TRY(open());
    return write_at(file_.get(), offset, data);
  }

  Result<void> finish(bool sync) {
    if (size() == 0) return {};
    TRY(open());
    if (ftruncate(file_.get(), static_cast<off_t>(size())) != 0)
      return fail_errno(errno, "extend the layer's extra contents to {} bytes", size());
    if (sync && fsync(file_.get()) != 0) return fail_errno(errno, "sync the layer's extra contents");
    return {};
  }

 private:
  Result<void> open() {
    if (!file_) file_ = TRY(open_at(layer_, kExtra, O_WRONLY | O_CREAT | O_EXCL, 0600));
    return {};
  }

  int layer_;
  Fd file_;
};

// Holds what would be written against what was.
class ExtraChecker final : public ExtraPlaces {
 public:
  explicit ExtraChecker(int layer) : layer_(layer) {}

  Result<void> write(std::uint64_t offset, std::string_view data) override {
    if (!file_) file_ = TRY(open_at(layer_, kExtra, O_RDONLY | O_NOFOLLOW));
    Buffer there(data.size());
    const bool whole = TRY(read_at(file_.get(), offset, there));
    if (!whole || std::memcmp(there.data(), data.data(), data.size()) != 0)
      return fail(ErrorKind::corrupt, "the layer's extra contents are not what they were");
    return {};
  }

 private:
  int layer_;
  Fd file_;
};

// For a tree that is read again for its names alone.
class ExtraIgnored final : public ExtraPlaces {
 public:
  Result<void> write(std::uint64_t, std::string_view) override { return {}; }
};

// Writes what is read through it to a file.
class WritingSource final : public archive::Source {
 public:
  WritingSource(archive::Source& inner, int file, const AddOptions& options)
      : inner_(inner), file_(file), options_(options) {}

  Result<std::size_t> read(std::span<char> buffer) override {
    if (options_.stop.stop_requested()) return fail(ErrorKind::cancelled, "unpacking was cancelled");
    const std::size_t size = TRY(inner_.read(buffer));
    TRY_AS("write the layer's tar", write_all(file_, std::string_view(buffer.data(), size)));
    written_ += size;
    if (options_.sync) behind_.written(file_, static_cast<std::int64_t>(written_));
    return size;
  }

 private:
  archive::Source& inner_;
  int file_;
  const AddOptions& options_;
  std::uint64_t written_ = 0;
  WriteBehind behind_;
};

// Digests what is read through it; its end is an error when that is not `expected`.
class VerifiedTar final : public archive::Source {
 public:
  VerifiedTar(Fd file, const Digest& expected) : file_(std::move(file)), expected_(expected) {}

  Result<std::size_t> read(std::span<char> buffer) override {
    if (buffer.empty() || ended_) return std::size_t{0};
    const std::size_t size = TRY(read_some(file_.get(), buffer));
    if (size > 0) {
      digest_.update({buffer.data(), size});
      return size;
    }
    ended_ = true;
    if (digest_.finish() != expected_)
      return fail(ErrorKind::corrupt, "the tar of layer {} is not what it was", expected_.text());
    return std::size_t{0};
  }

 private:
  Fd file_;
  Digest expected_;
  Sha256 digest_;
  bool ended_ = false;
};

// A sink that compares with a file.
class ComparingSink final : public archive::Sink {
 public:
  explicit ComparingSink(int file) : file_(file) {}
  Result<void> write(std::string_view data) override {
    Buffer there(data.size());
    const bool whole = TRY(read_at(file_, at_, there));
    if (!whole || std::memcmp(there.data(), data.data(), data.size()) != 0)
      return fail(ErrorKind::corrupt, "the layer's index is not what its tar gives");
    at_ += data.size();
    return {};
  }

 private:
  int file_;
  std::uint64_t at_ = 0;
};

// Contents whose last block in the tar goes on behind their end move to a place where zeros follow.
Result<void> move_unclean(const TreeReport& report, int tar, ExtraContents& extra) {
  Buffer buffer(kPiece);
  for (TreeNode* node : report.unclean) {
    const std::uint64_t place = TRY(extra.reserve(node->size));
    for (std::uint64_t done = 0; done < node->size;) {
      const std::size_t size = static_cast<std::size_t>(std::min<std::uint64_t>(kPiece, node->size - done));
      const std::span<char> piece = std::span<char>(buffer).first(size);
      if (!TRY(read_at(tar, node->content + done, piece)))
        return fail(ErrorKind::corrupt, "the layer's tar ends too early");
      TRY(extra.write(place + done, {piece.data(), size}));
      done += size;
    }
    node->place = ContentPlace::extra;
    node->content = place;
  }
  return {};
}

void apply_inherited(LayerTree& tree, const std::vector<InheritedDirectory>& inherited) {
  for (const InheritedDirectory& wanted : inherited) {
    TreeNode* node = tree.find_directory(wanted.path);
    if (!node) continue;
    node->mode = (node->mode & ~07777u) | wanted.mode;
    node->uid = wanted.uid;
    node->gid = wanted.gid;
    node->mtime = wanted.mtime;
    node->xattrs = wanted.xattrs;
  }
}

ErofsDevices devices_of(const Digest& diff_id, std::uint64_t tar_size, std::uint64_t extra_size) {
  ErofsDevices devices{tar_size, extra_size, {}};
  const std::string hex = diff_id.hex();
  for (std::size_t i = 0; i < devices.identity.size(); ++i)
    devices.identity[i] = static_cast<unsigned char>(std::stoul(hex.substr(2 * i, 2), nullptr, 16));
  return devices;
}

Result<void> write_index(int layer, const char* name, LayerTree& tree, const ErofsDevices& devices,
                         const std::string& inherited, bool sync) {
  Fd file = TRY(open_at(layer, name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600));
  archive::FdSink sink(file.get());
  TRY_AS("write the layer's index", write_erofs_image(tree, devices, sink));
  TRY_AS("write the layer's index", write_all(file.get(), inherited));
  if (sync && fsync(file.get()) != 0) return fail_errno(errno, "sync the layer's index");
  return {};
}

// What is behind the image's last block: "" if nothing was inherited.
Result<std::string> read_inherited(int index) {
  unsigned char blocks[4];
  const std::uint64_t size = TRY(size_of(index));
  const bool whole =
      TRY(read_at(index, kBlocksInSuperBlock, {reinterpret_cast<char*>(blocks), sizeof blocks}));
  std::uint64_t end = 0;
  for (std::size_t i = sizeof blocks; i-- > 0;) end = end << 8 | blocks[i];
  end *= kErofsBlock;
  if (!whole || end == 0 || end > size || size - end > kInheritedLimit)
    return fail(ErrorKind::corrupt, "the layer's index is damaged");
  std::string text(static_cast<std::size_t>(size - end), '\0');
  if (!TRY(read_at(index, end, text))) return fail(ErrorKind::corrupt, "the layer's index is damaged");
  return text;
}

struct Reread {
  LayerTree tree;
  ErofsDevices devices;
};

// The tree once more from the layer's tar, whose digest is verified on the way.
Result<std::unique_ptr<Reread>> reread(int layer, const Digest& diff_id, ExtraPlaces& extra) {
  auto again = std::make_unique<Reread>();
  Fd tar = TRY(open_at(layer, kTar, O_RDONLY | O_NOFOLLOW));
  const std::uint64_t tar_size = TRY(size_of(tar.get()));
  Fd for_pieces = TRY(tar.duplicate());
  VerifiedTar source(std::move(tar), diff_id);
  const TreeReport report = TRY(read_tree(source, again->tree, extra, TreeLimits{}));
  TRY(move_unclean(report, for_pieces.get(), extra));
  again->devices = devices_of(diff_id, tar_size, extra.size());
  return again;
}

class ErofsDriver final : public LayerDriver {
 public:
  Driver kind() const noexcept override { return Driver::erofs; }
  bool tree_is_mount() const noexcept override { return true; }

  Result<MadeLayer> make(archive::Source& tar, int layer, const AddOptions& options) const override {
    Fd file = TRY(open_at(layer, kTar, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0600));
    LayerTree tree;
    ExtraWriter extra(layer);
    // Three threads: whoever makes the tar (inflating it), the digest, the file and the tree.
    ProgressSource counted(tar, options.progress);
    archive::ReadAhead made(counted);
    archive::DigestSource digested(made);
    TreeReport report;
    {
      archive::ReadAhead ahead(digested);
      WritingSource written(ahead, file.get(), options);
      report = TRY(read_tree(written, tree, extra, {options.max_bytes, options.max_entries, options.stop}));
    }
    TRY(move_unclean(report, file.get(), extra));
    TRY(extra.finish(options.sync));
    const MadeLayer layer_made{digested.finish(), report.bytes, digested.size()};
    const ErofsDevices devices = devices_of(layer_made.diff_id, layer_made.tar_size, extra.size());
    TRY(write_index(layer, kIndex, tree, devices, "", options.sync));
    std::string implied;
    for (const std::string& path : tree.implied_directories()) implied.append(path).push_back('\0');
    if (!implied.empty())
      TRY(write_file_atomically(layer, kImpliedFile, implied, 0600,
                                options.sync ? Durability::durable : Durability::visible));
    if (options.sync && fsync(file.get()) != 0) return fail_errno(errno, "sync the layer's tar");
    return layer_made;
  }

  Result<std::unique_ptr<archive::Source>> open_tar(Fd layer, const Digest& diff_id) const override {
    Fd tar = TRY(open_at(layer.get(), kTar, O_RDONLY | O_NOFOLLOW));
    (void)posix_fadvise(tar.get(), 0, 0, POSIX_FADV_SEQUENTIAL);
    return std::make_unique<VerifiedTar>(std::move(tar), diff_id);
  }

  Result<void> verify(Fd layer, const Digest& diff_id) const override {
    ExtraChecker extra(layer.get());
    std::unique_ptr<Reread> again = TRY(reread(layer.get(), diff_id, extra));
    Fd index = TRY(open_at(layer.get(), kIndex, O_RDONLY | O_NOFOLLOW));
    const std::string inherited = TRY(read_inherited(index.get()));
    if (!inherited.empty()) apply_inherited(again->tree, TRY(decode_inherited(inherited)));
    ComparingSink sink(index.get());
    TRY(write_erofs_image(again->tree, again->devices, sink));
    if (extra.size() == 0) return {};
    Fd file = TRY(open_at(layer.get(), kExtra, O_RDONLY | O_NOFOLLOW));
    if (TRY(size_of(file.get())) != extra.size())
      return fail(ErrorKind::corrupt, "the layer's extra contents have another size");
    return {};
  }

  Result<Fd> open_tree(int layer, const Digest& diff_id) const override {
    Fd index = TRY(open_at(layer, kIndex, O_RDONLY | O_NOFOLLOW));
    Fd tar = TRY(open_at(layer, kTar, O_RDONLY | O_NOFOLLOW));
    Result<Fd> extra = open_at(layer, kExtra, O_RDONLY | O_NOFOLLOW);
    if (!extra && extra.error().code != ENOENT) return extra;
    const int devices[] = {tar.get(), extra ? extra->get() : -1};
    Result<Fd> mounted = mount_erofs(index.get(), std::span(devices).first(extra ? 2 : 1));
    if (mounted) return mounted;
    return std::unexpected(std::move(mounted).error().within(fmt::format(
        "layer {} is an EROFS image, which does not work here; remove its images and pull them again",
        diff_id.text())));
  }

  Result<bool> inherit(int layer, const Digest& diff_id, std::span<const Fd> below) const override {
    const std::vector<InheritedDirectory> inherited = TRY(look_up_inherited(layer, below));
    const std::string wanted = inherited.empty() ? "" : encode(inherited);
    Fd index = TRY(open_at(layer, kIndex, O_RDONLY | O_NOFOLLOW));
    if (wanted == TRY(read_inherited(index.get()))) return false;
    ExtraIgnored extra;
    std::unique_ptr<Reread> again = TRY(reread(layer, diff_id, extra));
    apply_inherited(again->tree, inherited);
    TRY(write_index(layer, kNextIndex, again->tree, again->devices, wanted, true));
    if (renameat(layer, kNextIndex, layer, kIndex) != 0)
      return fail_errno(errno, "replace the layer's index");
    TRY(sync_directory(layer));
    return true;
  }
};

}  // namespace

const LayerDriver& erofs_driver() {
  static const ErofsDriver driver;
  return driver;
}

}  // namespace berth::layers
