// SPDX-License-Identifier: Apache-2.0
#include "layers/changes.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <map>
#include <optional>
#include <set>

#include "archive/pack.h"
#include "archive/tree_walk.h"
#include "archive/xattr.h"
#include "base/file.h"
#include "base/log.h"
#include "sys/rooted_path.h"

namespace berth::layers {
namespace {

using archive::Descend;
using archive::WalkItem;

bool is_whiteout(const struct stat& status) { return S_ISCHR(status.st_mode) && status.st_rdev == 0; }

// An upper directory that hides the one below (overlayfs.rst, "whiteouts and opaque directories").
bool is_opaque(int directory, const std::string& name) {
  const std::string path = fmt::format("/proc/self/fd/{}/{}", directory, name);
  char mark;
  return lgetxattr(path.c_str(), "trusted.overlay.opaque", &mark, 1) == 1 && mark == 'y';
}

// Archives cut fractions of a second off: such times are equal to the whole ones.
bool same_time(const struct timespec& a, const struct timespec& b) {
  return a.tv_sec == b.tv_sec && (a.tv_nsec == b.tv_nsec || a.tv_nsec == 0 || b.tv_nsec == 0);
}

bool differs(const struct stat& upper, const struct stat& lower) {
  if (upper.st_mode != lower.st_mode || upper.st_uid != lower.st_uid || upper.st_gid != lower.st_gid ||
      upper.st_rdev != lower.st_rdev)
    return true;
  if (S_ISDIR(upper.st_mode)) return false;
  return upper.st_size != lower.st_size || !same_time(upper.st_mtim, lower.st_mtim);
}

std::string_view parent_of(std::string_view path) {
  const std::size_t slash = path.find_last_of('/');
  return slash == std::string_view::npos ? std::string_view{} : path.substr(0, slash);
}

class Comparison {
 public:
  Comparison(int upper, int lower) : upper_(upper), lower_(lower) {}

  Result<std::vector<Change>> run() {
    TRY(archive::walk_tree(upper_, [&](const WalkItem& item) { return compare(item); }));
    while (!shared_.empty()) leave();
    std::vector<Change> list;
    list.reserve(found_.size());
    for (auto& [path, kind] : found_) list.push_back({kind, "/" + path});
    return list;
  }

 private:
  // A directory of the walk that the lower tree has too: only below such ones is there anything to compare.
  struct Shared {
    std::string path;
    Fd lower;
    std::optional<std::set<std::string>> hidden;  // opaque: names below, less those seen above
  };

  Result<Descend> compare(const WalkItem& item) {
    std::string_view above = parent_of(item.path);
    leave_until(above);
    std::optional<struct stat> lower = look_up(item.name, above);
    if (is_whiteout(item.status)) {
      if (lower) note(item.path, ChangeKind::deleted);
      return Descend::no;
    }
    if (!lower) {
      note(item.path, ChangeKind::added);
      return Descend::yes;
    }
    const bool directories = S_ISDIR(item.status.st_mode) && S_ISDIR(lower->st_mode);
    if (differs(item.status, *lower) || (!directories && capability_differs(item)))
      note(item.path, ChangeKind::modified);
    if (S_ISDIR(lower->st_mode)) TRY(enter(item, directories));
    return Descend::yes;
  }

  // Nullopt: not there, or it lies below something that is only in the upper.
  std::optional<struct stat> look_up(const std::string& name, std::string_view above) {
    const int directory = lower_directory(above);
    struct stat status;
    if (directory < 0 || fstatat(directory, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0 ||
        is_whiteout(status))
      return std::nullopt;
    if (!shared_.empty() && shared_.back().hidden && shared_.back().path == above)
      shared_.back().hidden->erase(name);
    return status;
  }

  int lower_directory(std::string_view above) const {
    if (above.empty()) return lower_;
    return !shared_.empty() && shared_.back().path == above ? shared_.back().lower.get() : -1;
  }

  Result<void> enter(const WalkItem& item, bool merged) {
    const int directory = lower_directory(parent_of(item.path));
    Fd opened = TRY(open_at(directory, item.name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
    std::optional<std::set<std::string>> hidden;
    if (!merged || is_opaque(item.directory, item.name)) {
      std::vector<std::string> names = TRY(archive::names_in(opened.get()));
      hidden.emplace(names.begin(), names.end());
    }
    shared_.push_back({std::string(item.path), std::move(opened), std::move(hidden)});
    return {};
  }

  // Back up to the directory `path`: what the levels below hid and did not bring again is deleted.
  void leave_until(std::string_view path) {
    while (!shared_.empty()) {
      const Shared& level = shared_.back();
      const bool inside =
          path == level.path || (path.starts_with(level.path) && path[level.path.size()] == '/');
      if (inside) return;
      leave();
    }
  }

  void leave() {
    const Shared level = std::move(shared_.back());
    shared_.pop_back();
    if (!level.hidden) return;
    for (const std::string& name : *level.hidden) {
      struct stat status;
      if (fstatat(level.lower.get(), name.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0 && !is_whiteout(status))
        note(level.path + "/" + name, ChangeKind::deleted);
    }
  }

  bool capability_differs(const WalkItem& item) const {
    if (!S_ISREG(item.status.st_mode)) return false;
    const int lower = lower_directory(parent_of(item.path));
    return capability(item.directory, item.name) != capability(lower, item.name);
  }

  static std::string capability(int directory, const std::string& name) {
    char value[64];
    const std::string path = fmt::format("/proc/self/fd/{}/{}", directory, name);
    const ssize_t size = lgetxattr(path.c_str(), "security.capability", value, sizeof value);
    return size < 0 ? std::string() : std::string(value, static_cast<std::size_t>(size));
  }

  // A change makes the directories above it modified, if they were there before.
  void note(std::string_view path, ChangeKind kind) {
    found_.insert_or_assign(std::string(path), kind);
    for (std::string_view above = parent_of(path); !above.empty(); above = parent_of(above))
      if (!found_.try_emplace(std::string(above), ChangeKind::modified).second) break;
  }

  int upper_;
  int lower_;
  std::map<std::string, ChangeKind> found_;
  std::vector<Shared> shared_;  // from the root down to where the walk is
};

}  // namespace

Result<std::vector<Change>> changes(int upper, int lower) { return Comparison(upper, lower).run(); }

Result<std::vector<Change>> changes(const LayerStore& store, int upper, const OverlaySpec& spec) {
  OverlaySpec below = spec;
  below.upper.reset();
  Fd lower = TRY(mount_detached(store, below));
  return changes(upper, lower.get());
}

Result<std::uint64_t> tree_size(int tree) {
  std::uint64_t total = 0;
  std::set<std::pair<dev_t, ino_t>> counted;  // files with several names
  TRY(archive::walk_tree(tree, [&](const WalkItem& item) -> Result<Descend> {
    const struct stat& status = item.status;
    if (S_ISREG(status.st_mode) &&
        (status.st_nlink < 2 || counted.emplace(status.st_dev, status.st_ino).second))
      total += static_cast<std::uint64_t>(status.st_size);
    return Descend::yes;
  }));
  return total;
}

namespace {

Result<void> write_root(int upper, const PackLayerOptions& pack, archive::TarWriter& writer) {
  struct stat status;
  if (fstat(upper, &status) != 0) return fail_errno(errno, "look at an upper directory");
  archive::TarEntry root = TRY(archive::entry_of(status));
  root.name = "./";
  root.xattrs = TRY(archive::read_xattrs(upper));
  if (pack.latest && root.mtime > *pack.latest) root.mtime = *pack.latest;
  return writer.add(root);
}

}  // namespace

Result<void> pack_layer(int upper, archive::Sink& sink, const PackLayerOptions& pack) {
  archive::PackOptions options;
  options.stop = pack.stop;
  options.filter = [latest = pack.latest](const archive::PackItem& item,
                                          archive::TarEntry& entry) -> Result<bool> {
    if (item.name.starts_with(".wh.")) {
      // Its name means something else in a layer than in the container that chose it.
      log_warning("layers", "{} is left out of the layer: such names stand for deletions", entry.name);
      return false;
    }
    if (latest && entry.mtime > *latest) entry.mtime = *latest;
    if (!is_whiteout(item.status)) return true;
    std::string_view above = parent_of(item.path);
    archive::TarEntry whiteout;
    whiteout.name = fmt::format("{}{}.wh.{}", above, above.empty() ? "" : "/", item.name);
    whiteout.mode = 0600;
    whiteout.mtime = entry.mtime;
    entry = std::move(whiteout);
    return true;
  };
  options.after = [](const archive::PackItem& item, archive::TarWriter& writer) -> Result<void> {
    if (!S_ISDIR(item.status.st_mode) || !is_opaque(item.directory, item.name)) return {};
    archive::TarEntry opaque;
    opaque.name = fmt::format("{}/.wh..wh..opq", item.path);
    opaque.mode = 0600;
    return writer.add(opaque);
  };
  archive::TarWriter writer(sink);
  if (pack.describe_root) TRY(write_root(upper, pack, writer));
  TRY(archive::pack_into(writer, upper, "/", options));
  return writer.finish();
}

}  // namespace berth::layers
