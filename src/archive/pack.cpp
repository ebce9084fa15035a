// SPDX-License-Identifier: Apache-2.0
#include "archive/pack.h"

#include <fcntl.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <map>

#include "archive/tree_walk.h"
#include "archive/xattr.h"
#include "base/fd.h"
#include "sys/rooted_path.h"

namespace berth::archive {
namespace {

constexpr std::size_t kBuffer = 256u << 10;
constexpr std::size_t kLinkLimit = 4096;

class Packer {
 public:
  Packer(TarWriter& writer, const PackOptions& options) : writer_(writer), options_(options) {}

  Result<void> run(int root, std::string_view path) {
    sys::RootedParent start = TRY(sys::parent_in_root(root, path));
    struct stat status;
    if (fstatat(start.directory.get(), start.name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0)
      return fail_errno(errno, "stat {}", path);
    device_ = status.st_dev;
    if (!S_ISDIR(status.st_mode)) {
      std::string name = options_.prefix.empty() ? start.name : options_.prefix;
      TRY(add({start.directory.get(), start.name, {}, status}, std::move(name)));
      return {};
    }
    if (!options_.prefix.empty()) {
      const Descend descend = TRY(add({start.directory.get(), start.name, {}, status}, options_.prefix));
      if (descend == Descend::no) return {};
    }
    Fd opened = TRY(open_at(start.directory.get(), start.name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
    return walk_tree(opened.get(), [&](const WalkItem& item) -> Result<Descend> {
      if (options_.stop.stop_requested()) return fail(ErrorKind::cancelled, "packing was cancelled");
      if (options_.one_file_system && S_ISDIR(item.status.st_mode) && item.status.st_dev != device_)
        return Descend::no;
      std::string name = options_.prefix;
      if (!name.empty() && !name.ends_with('/')) name += '/';
      name += item.path;
      return add({item.directory, item.name, item.path, item.status}, std::move(name));
    });
  }

 private:
  Result<Descend> add(const PackItem& item, std::string name) {
    if (S_ISSOCK(item.status.st_mode)) return Descend::no;
    if (S_ISREG(item.status.st_mode)) return add_file(item, std::move(name));
    TarEntry entry = TRY(entry_of(item.status));
    entry.name = std::move(name);
    if (entry.type == TarType::directory && !entry.name.ends_with('/')) entry.name += '/';
    if (entry.type == TarType::symbolic_link) {
      char target[kLinkLimit];
      const ssize_t size = readlinkat(item.directory, item.name.c_str(), target, sizeof target);
      if (size <= 0) return Descend::no;  // it vanished or changed
      entry.link_target.assign(target, static_cast<std::size_t>(size));
    }
    if (options_.xattrs && entry.type == TarType::directory)
      entry.xattrs = TRY_AS(entry.name, read_xattrs(item.directory, item.name));
    if (options_.filter && !TRY(options_.filter(item, entry))) return Descend::no;
    TRY(make_hard_link(item.status, entry));
    TRY(writer_.add(entry));
    if (options_.after) TRY(options_.after(item, writer_));
    return Descend::yes;
  }

  Result<Descend> add_file(const PackItem& item, std::string name) {
    // Not blocking, and checked again: it may have become a FIFO.
    Fd file(
        openat(item.directory, item.name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
    struct stat status;
    if (!file) {
      const int code = errno;
      if (code == ENOENT || code == ELOOP) return Descend::no;
      // What is left out need not be readable.
      TarEntry entry = TRY(entry_of(item.status));
      entry.name = name;
      if (options_.filter && !TRY(options_.filter(item, entry))) return Descend::no;
      return fail_errno(code, "open {}", name);
    }
    if (fstat(file.get(), &status) != 0) return fail_errno(errno, "stat {}", name);
    if (!S_ISREG(status.st_mode)) return Descend::no;
    TarEntry entry = TRY(entry_of(status));
    entry.name = std::move(name);
    if (options_.xattrs) entry.xattrs = TRY_AS(entry.name, read_xattrs(file.get()));
    if (options_.filter && !TRY(options_.filter({item.directory, item.name, item.path, status}, entry)))
      return Descend::no;
    TRY(make_hard_link(status, entry));
    TRY(writer_.add(entry));
    if (entry.type == TarType::regular) TRY_AS("read " + entry.name, copy_contents(file.get(), entry.size));
    if (options_.after) TRY(options_.after(item, writer_));
    return Descend::no;
  }

  // The first name of a file carries its contents, the others point to it.
  Result<void> make_hard_link(const struct stat& status, TarEntry& entry) {
    if (status.st_nlink < 2 || S_ISDIR(status.st_mode)) return {};
    auto [known, added] = names_.try_emplace({status.st_dev, status.st_ino}, entry.name);
    if (added) return {};
    entry.type = TarType::hard_link;
    entry.link_target = known->second;
    entry.size = 0;
    entry.device_major = entry.device_minor = 0;
    entry.xattrs.clear();
    return {};
  }

  Result<void> copy_contents(int file, std::uint64_t size) {
    while (size > 0) {
      if (options_.stop.stop_requested()) return fail(ErrorKind::cancelled, "packing was cancelled");
      const std::size_t want = static_cast<std::size_t>(std::min<std::uint64_t>(size, kBuffer));
      std::size_t got = TRY(read_some(file, {buffer_.get(), want}));
      if (got == 0) {  // it shrank: the header promised more
        std::fill_n(buffer_.get(), want, '\0');
        got = want;
      }
      TRY(writer_.write({buffer_.get(), got}));
      size -= got;
    }
    return {};
  }

  TarWriter& writer_;
  const PackOptions& options_;
  dev_t device_ = 0;
  std::map<std::pair<dev_t, ino_t>, std::string> names_;  // of files with several, by their first
  std::unique_ptr<char[]> buffer_ = std::make_unique_for_overwrite<char[]>(kBuffer);
};

}  // namespace

Result<TarEntry> entry_of(const struct stat& status) {
  TarEntry entry;
  switch (status.st_mode & S_IFMT) {
    case S_IFREG:
      entry.type = TarType::regular;
      entry.size = static_cast<std::uint64_t>(status.st_size);
      break;
    case S_IFDIR:
      entry.type = TarType::directory;
      break;
    case S_IFLNK:
      entry.type = TarType::symbolic_link;
      break;
    case S_IFCHR:
      entry.type = TarType::character_device;
      break;
    case S_IFBLK:
      entry.type = TarType::block_device;
      break;
    case S_IFIFO:
      entry.type = TarType::fifo;
      break;
    default:
      return fail(ErrorKind::unsupported, "an archive cannot hold a file of type {:o}",
                  status.st_mode & S_IFMT);
  }
  if (S_ISCHR(status.st_mode) || S_ISBLK(status.st_mode)) {
    entry.device_major = major(status.st_rdev);
    entry.device_minor = minor(status.st_rdev);
  }
  entry.mode = status.st_mode & 07777;
  entry.uid = status.st_uid;
  entry.gid = status.st_gid;
  entry.mtime = Timestamp{status.st_mtim.tv_sec * 1'000'000'000 + status.st_mtim.tv_nsec};
  return entry;
}

Result<void> pack_into(TarWriter& writer, int root, std::string_view path, const PackOptions& options) {
  return Packer(writer, options).run(root, path);
}

Result<void> pack(int root, std::string_view path, Sink& sink, const PackOptions& options) {
  TarWriter writer(sink, options.subsecond_times);
  TRY(pack_into(writer, root, path, options));
  return writer.finish();
}

}  // namespace berth::archive
