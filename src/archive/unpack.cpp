// SPDX-License-Identifier: Apache-2.0
#include "archive/unpack.h"

#include <fcntl.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <set>
#include <unordered_map>
#include <unordered_set>

#include "archive/tree_walk.h"
#include "archive/xattr.h"
#include "base/fd.h"
#include "sys/remove_deep_tree.h"
#include "sys/rooted_path.h"

namespace berth::archive {
namespace {

constexpr std::string_view kWhiteout = ".wh.";
constexpr std::string_view kWhiteoutMeta = ".wh..wh.";
constexpr std::string_view kOpaque = ".wh..wh..opq";
constexpr mode_t kImpliedMode = 0755;

struct timespec timespec_of(Timestamp time) {
  std::int64_t seconds = time.nanoseconds / 1'000'000'000;
  std::int64_t rest = time.nanoseconds % 1'000'000'000;
  if (rest < 0) {
    rest += 1'000'000'000;
    --seconds;
  }
  return {seconds, rest};
}

std::string_view directory_of(std::string_view path) {
  const std::size_t slash = path.find_last_of('/');
  return slash == std::string_view::npos ? std::string_view{} : path.substr(0, slash);
}

bool is_whiteout(const struct stat& status) { return S_ISCHR(status.st_mode) && status.st_rdev == 0; }

class Unpacker {
 public:
  Unpacker(Source& source, int root, const UnpackOptions& options)
      : reader_(source, options.tar_observer), root_(root), options_(options) {}

  Result<UnpackReport> run() {
    TRY(open_base());
    TarEntry entry;
    while (TRY(reader_.next(entry))) {
      if (options_.stop.stop_requested()) return fail(ErrorKind::cancelled, "unpacking was cancelled");
      if (++report_.entries > options_.max_entries)
        return fail(ErrorKind::exhausted, "the archive has more than {} entries", options_.max_entries);
      if (options_.filter && !TRY(options_.filter(entry))) continue;
      Result<void> written = unpack_entry(entry);
      if (!written) return std::unexpected(std::move(written).error().within("unpack " + entry.name));
    }
    TRY(reader_.drain());
    TRY(set_directory_times());
    if (options_.observer)
      for (const std::string& path : implied_) TRY(options_.observer->implied_directory(path));
    return report_;
  }

 private:
  struct DirectoryTime {
    std::string path;
    dev_t device;
    Timestamp mtime;
  };

  // --- where things go ---

  Result<void> open_base() {
    base_ = sys::clean_relative(options_.base);
    base_fd_ = TRY(sys::open_in_root(root_, base_, O_PATH | O_DIRECTORY));
    if (options_.observer) implied_.emplace();  // the base itself, until an entry describes it
    return {};
  }

  std::string below_base(std::string_view path) const {
    if (base_.empty()) return std::string(path);
    if (path.empty()) return base_;
    return fmt::format("{}/{}", base_, path);
  }

  // The directory `path`, made if it is missing. The last one is kept: archives go directory by directory.
  Result<int> directory(std::string_view path) {
    if (path.empty()) return base_fd_.get();
    if (cached_ && cached_path_ == path) return cached_.get();
    Fd opened = TRY(find_or_make(path));
    remember(path, std::move(opened));
    return cached_.get();
  }

  void remember(std::string_view path, Fd opened) {
    cached_path_ = path;
    cached_ = std::move(opened);
  }

  Result<Fd> find_or_make(std::string_view path) {
    const std::string place = below_base(path);
    Result<Fd> present = sys::open_in_root(root_, place, O_PATH | O_DIRECTORY);
    if (present || (present.error().code != ENOENT && present.error().code != ENOTDIR)) return present;
    std::string_view above = directory_of(path);
    Fd parent = TRY(above.empty() ? base_fd_.duplicate() : find_or_make(above));
    const std::string name(path.substr(above.empty() ? 0 : above.size() + 1));
    const bool opaque = options_.whiteouts == Whiteouts::overlay && remove_whiteout(parent.get(), name);
    if (mkdirat(parent.get(), name.c_str(), kImpliedMode) != 0) {
      if (errno != EEXIST) return fail_errno(errno, "create directory {}", path);
      return sys::make_directories_in_root(root_, place);  // behind a link that leads nowhere yet
    }
    Fd made = TRY(open_at(parent.get(), name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
    if (opaque) TRY(make_opaque(made.get()));
    if (fchmod(made.get(), kImpliedMode) != 0) return fail_errno(errno, "change the mode of {}", path);
    if (options_.chown_to && fchown(made.get(), options_.chown_to->uid, options_.chown_to->gid) != 0)
      return fail_errno(errno, "change the owner of {}", path);
    if (options_.observer) implied_.emplace(path);
    return made;
  }

  static bool remove_whiteout(int parent, const std::string& name) {
    struct stat status;
    return fstatat(parent, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0 && is_whiteout(status) &&
           unlinkat(parent, name.c_str(), 0) == 0;
  }

  // --- one entry ---

  Result<void> unpack_entry(const TarEntry& entry) {
    path_ = sys::clean_relative(entry.name);
    if (path_.empty()) return unpack_base(entry);
    std::string_view above = directory_of(path_);
    name_ = path_.substr(above.empty() ? 0 : above.size() + 1);
    if (options_.whiteouts != Whiteouts::plain && name_.starts_with(kWhiteout)) return whiteout(above);
    if (options_.whiteouts == Whiteouts::apply)  // with the directories above it, until one is known
      for (std::string_view part = path_; !part.empty() && unpacked_.emplace(part).second;)
        part = directory_of(part);
    const int parent = TRY(directory(above));
    switch (entry.type) {
      case TarType::regular:
        return write_file(parent, entry);
      case TarType::directory:
        return make_directory(parent, entry);
      case TarType::symbolic_link:
        return make_link(parent, entry);
      case TarType::hard_link:
        return make_hard_link(above, entry);
      case TarType::character_device:
      case TarType::block_device:
      case TarType::fifo:
        return make_node(parent, entry);
    }
    return {};
  }

  Result<void> unpack_base(const TarEntry& entry) {
    if (entry.type != TarType::directory)
      return fail(ErrorKind::corrupt, "the archive's own directory is not a directory in it");
    if (!options_.set_root_attributes) return {};
    Fd opened = TRY(open_at(base_fd_.get(), ".", O_RDONLY | O_DIRECTORY));
    return finish_directory(opened.get(), entry);
  }

  Result<void> write_file(int parent, const TarEntry& entry) {
    if (entry.size > options_.max_bytes - report_.bytes)
      return fail(ErrorKind::exhausted, "the archive has more than {} bytes of contents", options_.max_bytes);
    constexpr int kFlags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    Fd file(openat(parent, name_.c_str(), kFlags, 0600));
    if (!file && errno == EEXIST) {
      TRY(displace(parent, entry));
      file = Fd(openat(parent, name_.c_str(), kFlags, 0600));
    }
    if (!file) return fail_errno(errno, "create the file");
    if (options_.observer && entry.size > 0) {
      struct stat status;
      if (fstat(file.get(), &status) != 0) return fail_errno(errno, "stat the file");
      TRY(options_.observer->wrote(path_, status));
    }
    TRY(write_contents(file.get(), entry));
    report_.bytes += entry.size;
    TRY(set_attributes(file.get(), entry));
    const struct timespec times[2] = {timespec_of(entry.mtime), timespec_of(entry.mtime)};
    if (futimens(file.get(), times) != 0) return fail_errno(errno, "set the file's times");
    return {};
  }

  Result<void> write_contents(int file, const TarEntry& entry) {
    std::uint64_t end = 0;
    for (TarChunk chunk = TRY(reader_.read()); !chunk.data.empty(); chunk = TRY(reader_.read())) {
      if (options_.stop.stop_requested()) return fail(ErrorKind::cancelled, "unpacking was cancelled");
      if (chunk.offset != end && lseek(file, static_cast<off_t>(chunk.offset), SEEK_SET) < 0)
        return fail_errno(errno, "seek in the file");
      TRY(write_all(file, chunk.data));
      end = chunk.offset + chunk.data.size();
    }
    if (end != entry.size && ftruncate(file, static_cast<off_t>(entry.size)) != 0)
      return fail_errno(errno, "extend the file to {} bytes", entry.size);
    return {};
  }

  Result<void> make_directory(int parent, const TarEntry& entry) {
    bool opaque = false;
    if (mkdirat(parent, name_.c_str(), 0700) != 0) {
      if (errno != EEXIST) return fail_errno(errno, "create the directory");
      struct stat status;
      if (fstatat(parent, name_.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0)
        return fail_errno(errno, "stat what is in the way");
      if (!S_ISDIR(status.st_mode)) {
        // A whiteout and then a directory: what lies below is gone, and this begins anew.
        opaque = options_.whiteouts == Whiteouts::overlay && is_whiteout(status);
        TRY(displace(parent, entry));
        if (mkdirat(parent, name_.c_str(), 0700) != 0) return fail_errno(errno, "create the directory");
      }
    }
    Fd opened = TRY(open_at(parent, name_, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
    if (opaque) TRY(make_opaque(opened.get()));
    TRY(finish_directory(opened.get(), entry));
    remember(path_, std::move(opened));
    return {};
  }

  Result<void> finish_directory(int opened, const TarEntry& entry) {
    TRY(set_attributes(opened, entry));
    struct stat status;
    if (fstat(opened, &status) != 0) return fail_errno(errno, "stat the directory");
    implied_.erase(path_);
    directory_times_.insert_or_assign(status.st_ino, DirectoryTime{path_, status.st_dev, entry.mtime});
    return {};
  }

  Result<void> make_link(int parent, const TarEntry& entry) {
    auto make = [&] { return symlinkat(entry.link_target.c_str(), parent, name_.c_str()) == 0; };
    if (!make()) {
      if (errno != EEXIST) return fail_errno(errno, "create the link");
      TRY(displace(parent, entry));
      if (!make()) return fail_errno(errno, "create the link");
    }
    TRY(set_owner(parent, entry));
    return set_times(parent, entry);
  }

  Result<void> make_hard_link(std::string_view above, const TarEntry& entry) {
    const std::string target = sys::clean_relative(entry.link_target);
    if (target.empty()) return fail(ErrorKind::corrupt, "a hard link to the archive's own directory");
    sys::RootedParent place =
        TRY_AS("hard link to " + target, sys::parent_in_root(root_, below_base(target)));
    struct stat wanted;
    if (fstatat(place.directory.get(), place.name.c_str(), &wanted, AT_SYMLINK_NOFOLLOW) != 0)
      return fail_errno(errno, "hard link to {}", entry.link_target);
    if (S_ISDIR(wanted.st_mode)) return fail(ErrorKind::corrupt, "a hard link to the directory {}", target);
    const int parent = TRY(directory(above));
    struct stat present;
    if (fstatat(parent, name_.c_str(), &present, AT_SYMLINK_NOFOLLOW) == 0) {
      if (present.st_dev == wanted.st_dev && present.st_ino == wanted.st_ino) return {};  // linked already
      TRY(displace(parent, entry));
    }
    // Without AT_SYMLINK_FOLLOW: a link as the target is linked itself.
    if (linkat(place.directory.get(), place.name.c_str(), parent, name_.c_str(), 0) != 0)
      return fail_errno(errno, "hard link to {}", entry.link_target);
    return {};
  }

  Result<void> make_node(int parent, const TarEntry& entry) {
    const bool device = entry.type != TarType::fifo;
    if (device && !options_.devices)
      return fail(ErrorKind::denied, "it is a device, and devices are not allowed here");
    const mode_t type = entry.type == TarType::fifo               ? S_IFIFO
                        : entry.type == TarType::character_device ? S_IFCHR
                                                                  : S_IFBLK;
    const dev_t number = device ? makedev(entry.device_major, entry.device_minor) : 0;
    auto make = [&] { return mknodat(parent, name_.c_str(), type | 0600, number) == 0; };
    if (!make()) {
      if (errno != EEXIST) return fail_errno(errno, "create the device or FIFO");
      TRY(displace(parent, entry));
      if (!make()) return fail_errno(errno, "create the device or FIFO");
    }
    TRY(set_owner(parent, entry));
    // fchmodat follows links, and this name may be one by now: the mode goes through a descriptor.
    Fd place = TRY(open_at(parent, name_, O_PATH | O_NOFOLLOW));
    if (chmod(fmt::format("/proc/self/fd/{}", place.get()).c_str(), entry.mode) != 0)
      return fail_errno(errno, "change the mode");
    return set_times(parent, entry);
  }

  // --- attributes ---

  // Owner first: it clears setuid bits and capabilities.
  Result<void> set_attributes(int file, const TarEntry& entry) {
    if (options_.chown_to || options_.keep_owner) {
      const Owner owner = options_.chown_to.value_or(Owner{entry.uid, entry.gid});
      if (fchown(file, owner.uid, owner.gid) != 0)
        return fail_errno(errno, "change the owner to {}:{}", owner.uid, owner.gid);
    }
    if (fchmod(file, entry.mode) != 0) return fail_errno(errno, "change the mode");
    if (options_.xattrs && !entry.xattrs.empty()) TRY(write_xattrs(file, entry.xattrs));
    return {};
  }

  Result<void> set_owner(int parent, const TarEntry& entry) {
    if (!options_.chown_to && !options_.keep_owner) return {};
    const Owner owner = options_.chown_to.value_or(Owner{entry.uid, entry.gid});
    if (fchownat(parent, name_.c_str(), owner.uid, owner.gid, AT_SYMLINK_NOFOLLOW) != 0)
      return fail_errno(errno, "change the owner to {}:{}", owner.uid, owner.gid);
    return {};
  }

  Result<void> set_times(int parent, const TarEntry& entry) {
    const struct timespec times[2] = {timespec_of(entry.mtime), timespec_of(entry.mtime)};
    if (utimensat(parent, name_.c_str(), times, AT_SYMLINK_NOFOLLOW) != 0)
      return fail_errno(errno, "set the times");
    return {};
  }

  // Last of all: everything that is put into a directory changes its time.
  Result<void> set_directory_times() {
    for (const auto& [inode, wanted] : directory_times_) {
      Result<Fd> opened =
          sys::open_in_root(root_, below_base(wanted.path), O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
      if (!opened) continue;  // replaced by a later entry
      struct stat status;
      if (fstat(opened->get(), &status) != 0 || status.st_ino != inode || status.st_dev != wanted.device)
        continue;
      const struct timespec times[2] = {timespec_of(wanted.mtime), timespec_of(wanted.mtime)};
      if (futimens(opened->get(), times) != 0) return fail_errno(errno, "set the times of {}", wanted.path);
    }
    return {};
  }

  // --- what has to go ---

  Result<void> displace(int parent, const TarEntry& incoming) {
    struct stat status;
    if (fstatat(parent, name_.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
      if (errno == ENOENT) return {};
      return fail_errno(errno, "stat what is in the way");
    }
    const bool directory = S_ISDIR(status.st_mode);
    if (options_.keep_directory_kind && directory && incoming.type != TarType::directory)
      return fail(ErrorKind::invalid, "cannot overwrite directory \"{}\" with non-directory \"{}\"", path_,
                  "/" + base_);
    if (options_.keep_directory_kind && !directory && incoming.type == TarType::directory)
      return fail(ErrorKind::invalid, "cannot overwrite non-directory \"{}\" with directory \"{}\"", path_,
                  "/" + base_);
    return take_away(parent, name_, status);
  }

  Result<void> take_away(int parent, const std::string& name, const struct stat& status) {
    // A directory that was reached through it is another one from now on. The descriptor that `parent` may
    // stand for stays open, only its name is forgotten.
    if (S_ISDIR(status.st_mode) || S_ISLNK(status.st_mode)) cached_path_.clear();
    if (options_.observer) return options_.observer->displace(parent, name, status);
    return sys::remove_deep_tree(parent, name);
  }

  // --- whiteouts ---

  Result<void> whiteout(std::string_view above) {
    if (name_ == kOpaque) return opaque_whiteout(above);
    if (name_.starts_with(kWhiteoutMeta)) return {};  // AUFS kept its own records under such names
    const std::string name = name_.substr(kWhiteout.size());
    if (name.empty() || name == "." || name == "..")
      return fail(ErrorKind::corrupt, "a whiteout of '{}' makes no sense", name);
    const int parent = TRY(directory(above));
    struct stat status;
    const bool present = fstatat(parent, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0;
    if (!present && errno != ENOENT) return fail_errno(errno, "stat {}", name);
    if (options_.whiteouts == Whiteouts::apply) {
      const std::string hidden = above.empty() ? name : fmt::format("{}/{}", above, name);
      if (!present) return {};
      if (!unpacked_.contains(hidden)) return take_away(parent, name, status);
      if (!S_ISDIR(status.st_mode)) return {};
      Fd opened = TRY(open_at(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
      return clear_directory(opened.get(), hidden);
    }
    if (present) {
      // A whiteout speaks about the layers below: what this layer has itself stays, without their contents.
      if (!S_ISDIR(status.st_mode)) return {};
      Fd opened = TRY(open_at(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
      return make_opaque(opened.get());
    }
    if (mknodat(parent, name.c_str(), S_IFCHR, makedev(0, 0)) != 0)
      return fail_errno(errno, "create the whiteout of {}", name);
    return {};
  }

  Result<void> opaque_whiteout(std::string_view above) {
    const int parent = TRY(directory(above));
    Fd opened = TRY(open_at(parent, ".", O_RDONLY | O_DIRECTORY));
    if (options_.whiteouts == Whiteouts::overlay) return make_opaque(opened.get());
    return clear_directory(opened.get(), above);
  }

  // Takes away everything in it that was not unpacked just now.
  Result<void> clear_directory(int opened, std::string_view path) {
    return walk_tree(opened, [&](const WalkItem& item) -> Result<Descend> {
      const std::string place = path.empty() ? std::string(item.path) : fmt::format("{}/{}", path, item.path);
      if (unpacked_.contains(place)) return Descend::yes;
      TRY(take_away(item.directory, item.name, item.status));
      return Descend::no;
    });
  }

  Result<void> make_opaque(int directory) {
    if (fsetxattr(directory, "trusted.overlay.opaque", "y", 1, 0) != 0)
      return fail_errno(errno, "mark the directory as opaque");
    return {};
  }

  TarReader reader_;
  int root_;
  const UnpackOptions& options_;
  UnpackReport report_;
  std::string base_;
  Fd base_fd_;
  std::string cached_path_;
  Fd cached_;
  std::string path_;  // of the entry, cleaned
  std::string name_;  // its last component
  std::unordered_map<ino_t, DirectoryTime> directory_times_;
  std::set<std::string> implied_;             // directories that no entry describes, for the observer
  std::unordered_set<std::string> unpacked_;  // when whiteouts are applied: what this archive brought
};

}  // namespace

Result<UnpackReport> unpack(Source& source, int root, const UnpackOptions& options) {
  return Unpacker(source, root, options).run();
}

}  // namespace berth::archive
