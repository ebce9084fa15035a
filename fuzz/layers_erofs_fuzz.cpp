// SPDX-License-Identifier: Apache-2.0
// A hostile tar as an EROFS index: whatever the tar says, the image is well-formed, written twice it is the
// same, and nothing in it points outside of itself, the tar or the file of extra contents.
//
// With BERTH_FUZZ_MOUNT=1, as root and where the kernel mounts EROFS, each image is mounted as well: the
// kernel has to show what the tree says, file by file and byte by byte.
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <memory>
#include <set>
#include <string>
#include <string_view>

#include "archive/tar.h"
#include "base/file.h"
#include "layers/erofs_image.h"
#include "layers/erofs_mount.h"
#include "layers/tree.h"

namespace {

using namespace berth;
using namespace berth::layers;

void require(bool condition) {
  if (!condition) std::abort();
}

class Places final : public ExtraContents {
 public:
  Result<std::uint64_t> reserve(std::uint64_t size) override {
    if (size > (std::uint64_t{1} << 40) - end) return fail(ErrorKind::exhausted, "too much");
    const std::uint64_t place = end;
    end += (size + kErofsBlock - 1) / kErofsBlock * kErofsBlock;
    return place;
  }
  Result<void> write(std::uint64_t offset, std::string_view data) override {
    require(offset <= end && data.size() <= end - offset);
    written.emplace_back(offset, std::string(data));
    return {};
  }
  std::uint64_t end = 0;
  std::vector<std::pair<std::uint64_t, std::string>> written;
};

// Reads an image as the kernel does, and believes nothing.
class Reader {
 public:
  Reader(std::string_view image, std::uint64_t tar, std::uint64_t extra)
      : image_(image), device_sizes_{tar, extra} {}

  void check() {
    require(number(1024, 4) == 0xe0f5e1e2 && number(1024 + 12, 1) == 9);
    require(number(1024 + 36, 4) * kErofsBlock == image_.size());
    check_directory(number(1024 + 14, 2), 0, number(1024 + 14, 2));
    require(cut_ || seen_.size() == number(1024 + 16, 8));
  }

 private:
  std::uint64_t number(std::uint64_t at, std::size_t size) const {
    require(at <= image_.size() && size <= image_.size() - at);
    std::uint64_t value = 0;
    for (std::size_t i = size; i-- > 0;) value = value << 8 | static_cast<unsigned char>(image_[at + i]);
    return value;
  }

  struct Inode {
    std::uint64_t mode, size, layout, data, end;
  };
  Inode inode(std::uint64_t nid) {
    seen_.insert(nid);
    const std::uint64_t at = nid * 32;
    const std::uint64_t format = number(at, 2);
    require((format & 1) == 1 && format < 16);
    const std::uint64_t words = number(at + 2, 2);
    const std::uint64_t xattrs = words == 0 ? 0 : 12 + 4 * (words - 1);
    require(words != 1);
    if (xattrs > 0) check_xattrs(at + 64, xattrs);
    return {number(at + 4, 2), number(at + 8, 8), format >> 1, number(at + 16, 4), at + 64 + xattrs};
  }

  void check_xattrs(std::uint64_t at, std::uint64_t size) const {
    const std::uint64_t end = at + size;
    for (at += 12; at < end;) {
      require(number(at + 1, 1) == 1 || number(at + 1, 1) == 4 || number(at + 1, 1) == 6);
      at = (at + 4 + number(at, 1) + number(at + 2, 2) + 3) / 4 * 4;
    }
    require(at == end && end <= image_.size());
  }

  std::uint64_t data_at(const Inode& node) const {
    if (node.layout == 0) return node.data * kErofsBlock;
    require(node.layout == 2 && node.end / kErofsBlock == (node.end + node.size - 1) / kErofsBlock);
    return node.end;
  }

  void check_directory(std::uint64_t nid, std::uint64_t depth, std::uint64_t parent) {
    if (depth > 500) {  // of what this reader can do, not of the format
      cut_ = true;
      return;
    }
    const Inode node = inode(nid);
    require(S_ISDIR(node.mode) && node.size > 0);
    const std::uint64_t data = data_at(node);
    require(data <= image_.size() && node.size <= image_.size() - data);
    std::string before;
    bool dot = false, dots = false;
    for (std::uint64_t block = 0; block < node.size; block += kErofsBlock) {
      const std::uint64_t length = std::min(kErofsBlock, node.size - block);
      const std::uint64_t count = number(data + block + 8, 2) / 12;
      require(count > 0 && count * 12 < length);
      for (std::uint64_t i = 0; i < count; ++i) {
        const std::uint64_t entry = data + block + i * 12;
        const std::uint64_t begin = number(entry + 8, 2);
        std::uint64_t end = i + 1 < count ? number(entry + 12 + 8, 2) : length;
        require(begin < end && end <= length);
        std::string name(image_.substr(data + block + begin, end - begin));
        if (i + 1 == count) name = name.substr(0, name.find('\0'));
        require(!name.empty() && name.size() <= 255 && name.find('/') == std::string::npos && before < name);
        before = name;
        const std::uint64_t to = number(entry, 8);
        if (name == ".") {
          dot = to == nid;
        } else if (name == "..") {
          dots = to == parent;
        } else {
          check_entry(to, depth, nid, number(entry + 10, 1));
        }
      }
    }
    require(dot && dots);
  }

  void check_entry(std::uint64_t nid, std::uint64_t depth, std::uint64_t parent, std::uint64_t type) {
    if (type == 2) {
      require(!seen_.contains(nid));
      return check_directory(nid, depth + 1, parent);
    }
    const Inode node = inode(nid);
    if (S_ISLNK(node.mode)) {
      require(type == 7);
      const std::uint64_t data = data_at(node);
      require(node.size > 0 && node.size < 4096 && data <= image_.size() &&
              node.size <= image_.size() - data);
    } else if (S_ISREG(node.mode)) {
      require(type == 1 && (node.size == 0 || node.layout == 4));
      if (node.size > 0) check_chunks(node);
    }
  }

  void check_chunks(const Inode& node) const {
    const std::uint64_t bits = node.data & 0x1f;
    require((node.data & 0xffff) == (bits | 0x20));
    const std::uint64_t chunk = kErofsBlock << bits;
    std::uint64_t at = (node.end + 7) / 8 * 8;
    for (std::uint64_t begin = 0; begin < node.size; begin += chunk, at += 8) {
      const std::uint64_t device = number(at + 2, 2);
      require(device == 1 || device == 2);
      const std::uint64_t place = number(at + 4, 4) * kErofsBlock;
      require(place + std::min(chunk, node.size - begin) <= device_sizes_[device - 1]);
    }
  }

  std::string_view image_;
  std::uint64_t device_sizes_[2];
  std::set<std::uint64_t> seen_;
  bool cut_ = false;
};

// Reads the input as a list of entries, for a tar whose checksums are right: mutated bytes of one never are.
class Entries {
 public:
  explicit Entries(std::string_view input) : input_(input) {}

  std::string tar() {
    archive::StringSink sink;
    archive::TarWriter writer(sink);
    while (!input_.empty()) {
      archive::TarEntry entry;
      entry.type = static_cast<archive::TarType>(byte() % 7);
      entry.name = path();
      if (entry.name.empty()) entry.name = "a";
      entry.link_target = path();
      if (entry.link_target.empty()) entry.link_target = "b";
      entry.mode = byte() * 16u & 07777;
      entry.uid = byte();
      entry.mtime.nanoseconds = static_cast<std::int64_t>(byte()) * 1'000'000'007 - 50'000'000'000;
      entry.device_major = byte() % 4;
      entry.device_minor = byte() % 4;
      if (byte() % 4 == 0) entry.xattrs = {{"user." + path(), std::string(byte() * 8u, 'v')}};
      const std::string contents(entry.type == archive::TarType::regular ? byte() * 7u : 0, 'c');
      entry.size = contents.size();
      if (!writer.add(entry) || !writer.write(contents)) break;
    }
    (void)writer.finish();
    return sink.take();
  }

 private:
  unsigned byte() {
    if (input_.empty()) return 0;
    const unsigned char first = static_cast<unsigned char>(input_.front());
    input_.remove_prefix(1);
    return first;
  }

  std::string path() {
    static constexpr std::string_view kParts[] = {"a", "b", "c",     "..", ".", ".wh.a", ".wh..wh..opq",
                                                  "/", "d", ".wh.b", ""};
    std::string text;
    for (unsigned parts = byte() % 5; parts > 0; --parts) {
      const unsigned kind = byte() % 13;
      if (!text.empty()) text += '/';
      if (kind < std::size(kParts))
        text += kParts[kind];
      else
        text += std::string(1 + byte(), kind == 11 ? 'n' : 'o');
    }
    return text;
  }

  std::string_view input_;
};

// The kernel's view of an image against the tree that it was written from.
class Mounted {
 public:
  Mounted(std::string_view tar, const Places& extra) : tar_(tar) {
    // Sparse, as the file that it stands for: a megabyte of it is more than this mode looks at.
    if (extra.end > kMost) return;
    extra_.resize(extra.end);
    for (const auto& [offset, data] : extra.written) extra_.replace(offset, data.size(), data);
  }

  // False: this kernel or user cannot mount it, which is not the image's fault where it happens to the
  // simplest one.
  bool compare(const LayerTree& tree, std::string_view image, bool has_extra) {
    if (has_extra && extra_.empty()) return true;
    TemporaryDirectory place = TemporaryDirectory::create("fuzz").value();
    const Fd index = file_of(place.path() + "/index", image);
    const Fd tar = file_of(place.path() + "/tar", tar_);
    const Fd extra = file_of(place.path() + "/extra", extra_);
    const int devices[] = {tar.get(), extra.get()};
    Result<Fd> root = mount_erofs(index.get(), std::span(devices).first(has_extra ? 2 : 1));
    if (!root) {
      std::fprintf(stderr, "%s\n", root.error().message.c_str());
      return false;
    }
    compare_directory(root->get(), tree.root(), 0);
    return true;
  }

 private:
  static constexpr std::uint64_t kMost = 1u << 20;

  static Fd file_of(const std::string& path, std::string_view bytes) {
    require(write_file_atomically(AT_FDCWD, path, bytes, 0600, Durability::visible).has_value());
    // A device has to reach to the end of its last block.
    require(truncate(path.c_str(),
                     static_cast<off_t>((bytes.size() + kErofsBlock - 1) / kErofsBlock * kErofsBlock)) == 0);
    Fd file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
    require(bool(file));
    return file;
  }

  void compare_directory(int directory, const TreeNode& node, int depth) {
    if (depth > 200) return;  // of descriptors, not of the format
    Fd again(openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    require(bool(again));
    compare_attributes(again.get(), node);
    struct Close {
      void operator()(DIR* stream) const noexcept { closedir(stream); }
    };
    std::unique_ptr<DIR, Close> entries(fdopendir(again.get()));
    (void)again.release();
    std::set<std::string> names;
    while (const dirent* entry = readdir(entries.get())) names.insert(entry->d_name);
    require(names.size() == node.children->size() + 2);
    for (const auto& [name, child] : *node.children) {
      require(names.contains(name));
      struct stat status;
      require(fstatat(directory, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0);
      require(status.st_mode == child->mode && status.st_uid == child->uid && status.st_gid == child->gid);
      require(status.st_mtim.tv_sec * 1'000'000'000 + status.st_mtim.tv_nsec == child->mtime);
      if (child->is_directory()) {
        Fd inner(openat(directory, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
        require(bool(inner));
        compare_directory(inner.get(), *child, depth + 1);
      } else if (child->is_link()) {
        char target[4096];
        const ssize_t size = readlinkat(directory, name.c_str(), target, sizeof target);
        require(size >= 0 && std::string_view(target, static_cast<std::size_t>(size)) == child->target);
      } else if (child->is_regular()) {
        compare_file(directory, name, *child);
      } else if (S_ISCHR(child->mode) || S_ISBLK(child->mode)) {
        require(status.st_rdev == makedev(child->device_major, child->device_minor));
      }
    }
  }

  void compare_file(int directory, const std::string& name, const TreeNode& node) {
    Fd file(openat(directory, name.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
    struct stat status;
    require(file && fstat(file.get(), &status) == 0 &&
            static_cast<std::uint64_t>(status.st_size) == node.size);
    compare_attributes(file.get(), node);
    if (node.size > kMost || node.place == ContentPlace::none) return;
    const std::string_view all = node.place == ContentPlace::tar ? tar_ : std::string_view(extra_);
    require(node.content <= all.size() && node.size <= all.size() - node.content);
    std::string bytes(node.size + 1, '\0');
    const ssize_t got = pread(file.get(), bytes.data(), bytes.size(), 0);
    require(got >= 0 && std::string_view(bytes).substr(0, static_cast<std::size_t>(got)) ==
                            all.substr(node.content, node.size));
  }

  static void compare_attributes(int file, const TreeNode& node) {
    for (const auto& [name, value] : node.xattrs) {
      std::string got(value.size() + 1, '\0');
      const ssize_t size = fgetxattr(file, name.c_str(), got.data(), got.size());
      require(size >= 0 && got.substr(0, static_cast<std::size_t>(size)) == value);
    }
  }

  std::string_view tar_;
  std::string extra_;
};

// Found out with the simplest image there is: what fails later is a failure.
bool mounts_here() {
  if (getenv("BERTH_FUZZ_MOUNT") == nullptr) return false;
  LayerTree tree;
  const std::string tar(1024, '\0');
  archive::StringSink image;
  require(write_erofs_image(tree, ErofsDevices{tar.size(), 0, {}}, image).has_value());
  const bool works = Mounted(tar, {}).compare(tree, image.text(), false);
  std::fprintf(stderr, "images are %smounted\n", works ? "" : "not ");
  return works;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view input(reinterpret_cast<const char*>(data), size);
  std::string made;
  if (input.starts_with('\1')) made = Entries(input.substr(1)).tar();
  const std::string_view tar = input.starts_with('\1') ? std::string_view(made) : input;
  archive::StringSource source(tar);
  LayerTree tree;
  Places extra;
  Result<TreeReport> read = read_tree(source, tree, extra, {});
  if (!read) return 0;
  archive::StringSink once, again;
  const ErofsDevices devices{tar.size(), extra.end, {}};
  if (!write_erofs_image(tree, devices, once)) return 0;
  require(write_erofs_image(tree, devices, again).has_value() && once.text() == again.text());
  Reader(once.text(), tar.size(), extra.end).check();
  static const bool mounts = mounts_here();
  if (mounts) require(Mounted(tar, extra).compare(tree, once.text(), extra.end > 0));
  return 0;
}
