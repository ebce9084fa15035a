// SPDX-License-Identifier: Apache-2.0
#include "build/copy_files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <map>

#include "archive/compression.h"
#include "archive/detect.h"
#include "archive/stream.h"
#include "archive/tar.h"
#include "archive/xattr.h"
#include "base/buffer.h"
#include "base/file.h"
#include "build/selection.h"
#include "sys/rooted_path.h"

namespace berth::build {
namespace {

constexpr std::size_t kCopySize = 8u << 20;  // between two looks at the stop token
constexpr std::size_t kReadSize = 64u << 10;

struct Attributes {
  archive::Owner owner;
  std::uint32_t mode = 0;
  struct timespec access {
  }, modification{};
};

Attributes attributes_of(const struct stat& status, bool keeps_owners, const CopyTarget& target) {
  Attributes attributes;
  if (keeps_owners) attributes.owner = {status.st_uid, status.st_gid};
  if (target.owner) attributes.owner = *target.owner;
  attributes.mode = status.st_mode & 07777;
  if (target.mode) attributes.mode = target.mode->apply(attributes.mode, S_ISDIR(status.st_mode));
  attributes.access = attributes.modification = status.st_mtim;
  return attributes;
}

// The owner comes before the mode: a change of owner takes set-id bits away.
Result<void> set_attributes(int file, const std::string& name, const Attributes& attributes) {
  if (fchown(file, attributes.owner.uid, attributes.owner.gid) != 0)
    return fail_errno(errno, "change the owner of {}", name);
  if (fchmod(file, attributes.mode) != 0) return fail_errno(errno, "change the mode of {}", name);
  return {};
}

Result<void> set_times(int file, const std::string& name, const Attributes& attributes) {
  const struct timespec times[2] = {attributes.access, attributes.modification};
  if (futimens(file, times) != 0) return fail_errno(errno, "set the times of {}", name);
  return {};
}

// `by_kernel` becomes false where the kernel does not copy by itself: between most file systems.
Result<void> copy_contents(int from, int to, const std::string& name, bool& by_kernel,
                           const std::stop_token& stop) {
  while (by_kernel) {
    if (stop.stop_requested()) return fail(ErrorKind::cancelled, "the build was cancelled");
    const ssize_t copied = copy_file_range(from, nullptr, to, nullptr, kCopySize, 0);
    if (copied == 0) return {};
    if (copied > 0 || errno == EINTR) continue;
    if (errno != EXDEV && errno != EINVAL && errno != ENOSYS && errno != EOPNOTSUPP)
      return fail_errno(errno, "copy {}", name);
    by_kernel = false;
  }
  Buffer buffer(kReadSize);
  for (;;) {
    if (stop.stop_requested()) return fail(ErrorKind::cancelled, "the build was cancelled");
    const std::size_t got = TRY_AS("copy " + name, read_some(from, {buffer.data(), kReadSize}));
    if (got == 0) return {};
    TRY_AS("copy " + name, write_all(to, {buffer.data(), got}));
  }
}

std::unexpected<Error> has_changed(std::string_view name) {
  return fail(ErrorKind::cancelled, "{} has changed while it was copied", name);
}

// Whatever is there goes, unless it is a directory.
Result<void> make_room(int directory, const std::string& name, std::string_view shown) {
  if (unlinkat(directory, name.c_str(), 0) == 0 || errno == ENOENT) return {};
  if (errno == EISDIR || errno == EPERM)
    return fail(ErrorKind::conflict, "cannot copy to {}: a directory is there, and what is copied is none",
                shown);
  return fail_errno(errno, "replace {}", shown);
}

Result<Fd> make_new(int directory, const std::string& name, std::string_view shown) {
  constexpr int kFlags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW;
  Result<Fd> made = open_at(directory, name, kFlags, 0600);
  if (made || made.error().code != EEXIST) return made;
  TRY(make_room(directory, name, shown));
  return open_at(directory, name, kFlags, 0600);
}

std::string_view last_component(std::string_view path) { return path.substr(path.find_last_of('/') + 1); }

std::string_view parent_of(std::string_view path) {
  const std::size_t slash = path.find_last_of('/');
  return slash == std::string_view::npos ? std::string_view() : path.substr(0, slash);
}

sys::NewDirectory new_directory(const CopyTarget& target) {
  const archive::Owner owner = target.owner.value_or(archive::Owner{});
  return {.mode = 0755, .owner = owner.uid, .group = owner.gid};
}

// Where a file goes: the directory, and its name in there.
struct Place {
  Fd directory;
  std::string name;
};

Result<Place> place_of_file(const CopyTarget& target, std::string_view own_name) {
  const std::string& destination = target.destination;
  bool into = target.many || destination.ends_with('/');
  if (!into) {
    Result<struct stat> there = sys::stat_in_root(target.root, destination);
    into = there && S_ISDIR(there->st_mode);
  }
  if (into && own_name.empty())
    return fail(ErrorKind::invalid,
                "{} is a directory, and what is copied there has no name: give the file's whole path",
                destination);
  if (into) {
    Fd directory = TRY(sys::make_directories_in_root(target.root, destination, new_directory(target)));
    return Place{std::move(directory), std::string(own_name)};
  }
  const std::string clean = sys::clean_relative(destination);
  if (clean.empty()) return fail(ErrorKind::conflict, "cannot copy a file to /");
  Fd directory = TRY(sys::make_directories_in_root(target.root, parent_of(clean), new_directory(target)));
  return Place{std::move(directory), std::string(last_component(clean))};
}

class TreeCopy {
 public:
  TreeCopy(const Tree& tree, const CopyTarget& target, const std::stop_token& stop, SourceDigest* copied)
      : tree_(tree), target_(target), stop_(stop), copied_(copied) {}

  Result<void> run(const Source& source, const dockerfile::IgnoreRules& excludes) {
    if (source.is_directory) {
      start_ = TRY(sys::make_directories_in_root(target_.root, target_.destination, new_directory(target_)));
    } else {
      Place place = TRY(place_of_file(target_, last_component(source.path)));
      start_ = std::move(place.directory);
      file_name_ = std::move(place.name);
    }
    TRY(walk_source(tree_, source, excludes, [&](const TreeItem& item) { return copy(item); }));
    return set_directory_times();
  }

 private:
  Result<void> copy(const TreeItem& item) {
    if (stop_.stop_requested()) return fail(ErrorKind::cancelled, "the build was cancelled");
    if (item.path.empty() && S_ISDIR(item.status.st_mode)) return {};  // its contents alone
    const std::string path = item.path.empty() ? file_name_ : std::string(item.path);
    const int directory = TRY(open_parent(parent_of(path)));
    const std::string name(last_component(path));
    const std::string shown = target_.destination + (target_.destination.ends_with('/') ? "" : "/") + path;
    const Attributes attributes = attributes_of(item.status, tree_.keeps_owners, target_);
    switch (item.status.st_mode & S_IFMT) {
      case S_IFDIR:
        return copy_directory(item, directory, name, path, shown, attributes);
      case S_IFREG:
        return copy_regular(item, directory, name, path, shown, attributes);
      case S_IFLNK:
        return copy_link(item, directory, name, shown, attributes);
      default:
        return copy_special(item, directory, name, shown, attributes);
    }
  }

  // Items come by directories, so the one of before is nearly always right.
  Result<int> open_parent(std::string_view path) {
    if (path.empty()) return start_.get();
    if (!parent_ || parent_path_ != path) {
      parent_ = TRY(sys::open_beneath(start_.get(), path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
      parent_path_ = path;
    }
    return parent_.get();
  }

  Result<void> copy_directory(const TreeItem& item, int directory, const std::string& name,
                              const std::string& path, const std::string& shown,
                              const Attributes& attributes) {
    if (mkdirat(directory, name.c_str(), 0700) != 0 && errno != EEXIST)
      return fail_errno(errno, "make {}", shown);
    Result<Fd> made = open_at(directory, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    if (!made && (made.error().code == ENOTDIR || made.error().code == ELOOP))
      return fail(ErrorKind::conflict, "cannot copy a directory to {}: what is there is none", shown);
    if (!made) return std::unexpected(std::move(made).error());
    TRY(set_attributes(made->get(), shown, attributes));
    const Xattrs xattrs = TRY(copy_xattrs(item, made->get()));
    if (copied_) copied_->add_directory(item, xattrs);
    directories_.emplace_back(path, attributes);
    return {};
  }

  Result<void> copy_regular(const TreeItem& item, int directory, const std::string& name,
                            const std::string& path, const std::string& shown, const Attributes& attributes) {
    const auto inode = std::pair(item.status.st_dev, item.status.st_ino);
    if (item.status.st_nlink > 1) {
      if (auto first = links_.find(inode); first != links_.end()) {
        // One file has one mode: where it has another now, what is made is not what was digested.
        if (copied_ && modes_.at(inode) != item.status.st_mode) return has_changed(item.name);
        TRY(make_room(directory, name, shown));
        sys::RootedParent other = TRY(sys::parent_in_root(start_.get(), first->second));
        if (linkat(other.directory.get(), other.name.c_str(), directory, name.c_str(), 0) != 0)
          return fail_errno(errno, "link {}", shown);
        if (copied_) copied_->add_file(item, digests_.at(inode));
        return {};
      }
      links_.emplace(inode, path);
    }
    Fd from = TRY(open_item(item));
    Fd to = TRY(make_new(directory, name, shown));
    std::optional<Digest> content;
    if (copied_)
      content = TRY(copy_digested(from.get(), to.get(), shown, stop_));
    else
      TRY(copy_contents(from.get(), to.get(), shown, by_kernel_, stop_));
    TRY(set_attributes(to.get(), shown, attributes));
    const Xattrs xattrs = TRY(copy_xattrs(item, to.get()));
    if (copied_) {
      const Digest file = file_digest(*content, xattrs);
      copied_->add_file(item, file);
      if (item.status.st_nlink > 1) {
        digests_.emplace(inode, file);
        modes_.emplace(inode, item.status.st_mode);
      }
    }
    return set_times(to.get(), shown, attributes);
  }

  Result<Fd> open_item(const TreeItem& item) {
    const ReadingTree reading(tree_);
    Result<Fd> opened = open_at(item.directory, item.name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    if (!opened && (opened.error().code == ENOENT || opened.error().code == ELOOP))
      return has_changed(item.name);
    struct stat status;
    if (opened && fstat(opened->get(), &status) != 0) return fail_errno(errno, "look at {}", item.name);
    if (opened && !S_ISREG(status.st_mode)) return has_changed(item.name);
    return opened;
  }

  Result<void> copy_link(const TreeItem& item, int directory, const std::string& name,
                         const std::string& shown, const Attributes& attributes) {
    char target[4096];
    const ssize_t size = [&] {
      const ReadingTree reading(tree_);
      return readlinkat(item.directory, item.name.c_str(), target, sizeof target - 1);
    }();
    if (size < 0 && (errno == ENOENT || errno == EINVAL)) return has_changed(item.name);
    if (size < 0) return fail_errno(errno, "read the link {}", item.name);
    target[size] = 0;
    if (copied_) copied_->add_link(item, {target, static_cast<std::size_t>(size)});
    TRY(make_room(directory, name, shown));
    if (symlinkat(target, directory, name.c_str()) != 0) return fail_errno(errno, "make the link {}", shown);
    return finish_by_name(directory, name, shown, attributes);
  }

  Result<void> copy_special(const TreeItem& item, int directory, const std::string& name,
                            const std::string& shown, const Attributes& attributes) {
    const bool device = !S_ISFIFO(item.status.st_mode);
    if (device && !tree_.keeps_owners)
      return fail(ErrorKind::denied, "{} is a device: a build context may not bring one", item.name);
    if (copied_) copied_->add_special(item);
    TRY(make_room(directory, name, shown));
    if (mknodat(directory, name.c_str(), item.status.st_mode, item.status.st_rdev) != 0)
      return fail_errno(errno, "make {}", shown);
    if (fchmodat(directory, name.c_str(), attributes.mode, 0) != 0)
      return fail_errno(errno, "change the mode of {}", shown);
    return finish_by_name(directory, name, shown, attributes);
  }

  Result<void> finish_by_name(int directory, const std::string& name, const std::string& shown,
                              const Attributes& attributes) {
    if (fchownat(directory, name.c_str(), attributes.owner.uid, attributes.owner.gid, AT_SYMLINK_NOFOLLOW) !=
        0)
      return fail_errno(errno, "change the owner of {}", shown);
    const struct timespec times[2] = {attributes.access, attributes.modification};
    if (utimensat(directory, name.c_str(), times, AT_SYMLINK_NOFOLLOW) != 0)
      return fail_errno(errno, "set the times of {}", shown);
    return {};
  }

  Result<Xattrs> copy_xattrs(const TreeItem& item, int to) {
    Xattrs xattrs = TRY([&] {
      const ReadingTree reading(tree_);
      return archive::read_xattrs(item.directory, item.name);
    }());
    if (!xattrs.empty()) TRY(archive::write_xattrs(to, xattrs));
    return xattrs;
  }

  // Once nothing is made in them any more.
  Result<void> set_directory_times() {
    for (auto one = directories_.rbegin(); one != directories_.rend(); ++one) {
      Fd directory = TRY(sys::open_beneath(start_.get(), one->first, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
      TRY(set_times(directory.get(), one->first, one->second));
    }
    return {};
  }

  const Tree& tree_;
  const CopyTarget& target_;
  const std::stop_token& stop_;
  SourceDigest* const copied_;
  bool by_kernel_ = true;
  Fd start_;
  std::string file_name_;  // where the source is no directory
  Fd parent_;
  std::string parent_path_;
  std::map<std::pair<dev_t, ino_t>, std::string> links_;
  std::map<std::pair<dev_t, ino_t>, Digest> digests_;  // of those
  std::map<std::pair<dev_t, ino_t>, mode_t> modes_;
  std::vector<std::pair<std::string, Attributes>> directories_;
};

Attributes attributes_of(const NewFile& file, const CopyTarget& target) {
  Attributes attributes;
  attributes.owner = target.owner.value_or(archive::Owner{});
  attributes.mode = target.mode ? target.mode->apply(file.mode, false) : file.mode;
  attributes.modification = {file.modified.nanoseconds / 1'000'000'000,
                             file.modified.nanoseconds % 1'000'000'000};
  attributes.access = attributes.modification;
  return attributes;
}

Result<void> make_file(const NewFile& file, const CopyTarget& target,
                       const std::function<Result<void>(int, const std::string&)>& fill) {
  Place place = TRY(place_of_file(target, file.name));
  TRY(make_room(place.directory.get(), place.name, target.destination));
  Fd made = TRY(open_at(place.directory.get(), place.name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600));
  TRY(fill(made.get(), place.name));
  const Attributes attributes = attributes_of(file, target);
  TRY(set_attributes(made.get(), place.name, attributes));
  return set_times(made.get(), place.name, attributes);
}

Result<void> rewind(int file) {
  if (lseek(file, 0, SEEK_SET) != 0) return fail_errno(errno, "read the archive again");
  return {};
}

}  // namespace

Result<void> copy_source(const Tree& tree, const Source& source, const dockerfile::IgnoreRules& excludes,
                         const CopyTarget& target, const std::stop_token& stop, SourceDigest* copied) {
  return TreeCopy(tree, target, stop, copied).run(source, excludes);
}

Result<Digest> copy_digested(int from, int to, const std::string& name, const std::stop_token& stop) {
  struct stat status;
  if (fstat(from, &status) != 0) return fail_errno(errno, "look at {}", name);
  Sha256 digest;
  Buffer buffer(kReadSize);
  for (auto left = status.st_size;;) {
    if (stop.stop_requested()) return fail(ErrorKind::cancelled, "the build was cancelled");
    const std::size_t got = TRY_AS("copy " + name, read_some(from, {buffer.data(), kReadSize}));
    if (got == 0) return digest.finish();
    left -= static_cast<off_t>(got);
    if (left < 0) return has_changed(name);
    digest.update({buffer.data(), got});
    TRY_AS("copy " + name, write_all(to, {buffer.data(), got}));
  }
}

// What cannot be inflated is none.
bool is_archive(int file) {
  archive::FdSource raw(file);
  Result<std::unique_ptr<archive::Source>> plain = archive::decompress(raw);
  if (!plain) return false;
  std::string head(archive::kTarBlock, '\0');
  for (std::size_t size = 0; size < head.size();) {
    const Result<std::size_t> got = (*plain)->read({head.data() + size, head.size() - size});
    if (!got || *got == 0) return false;
    size += *got;
  }
  return archive::begins_tar(head);
}

Result<void> copy_text(const NewFile& file, std::string_view content, const CopyTarget& target) {
  return make_file(file, target, [&](int to, const std::string&) { return write_all(to, content); });
}

Result<void> copy_file(const NewFile& file, int content, const CopyTarget& target) {
  TRY(rewind(content));
  return make_file(file, target, [&](int to, const std::string& name) {
    bool by_kernel = true;
    return copy_contents(content, to, name, by_kernel, {});
  });
}

Result<bool> unpack_archive(int file, const CopyTarget& target, const std::stop_token& stop) {
  TRY(rewind(file));  // a download stands where it was written to last
  if (!is_archive(file)) return false;
  TRY(rewind(file));
  TRY(sys::make_directories_in_root(target.root, target.destination, new_directory(target)));
  archive::FdSource raw(file);
  std::unique_ptr<archive::Source> plain = TRY(archive::decompress(raw));
  archive::UnpackOptions options;
  options.base = target.destination;
  options.chown_to = target.owner;
  options.set_root_attributes = false;
  options.stop = stop;
  TRY(archive::unpack(*plain, target.root, options));
  return true;
}

}  // namespace berth::build
