// SPDX-License-Identifier: Apache-2.0
#include "sys/remove_deep_tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <optional>
#include <vector>

#include "base/fd.h"

namespace berth::sys {
namespace {

constexpr int kPasses = 8;  // over a directory that someone keeps filling

struct Identity {
  std::uint64_t inode = 0;
  std::uint64_t mount = 0;
  std::uint32_t major = 0;
  std::uint32_t minor = 0;
  bool operator==(const Identity&) const = default;
};

std::optional<Identity> identify(int directory) {
  struct statx status;
  if (statx(directory, ".", AT_SYMLINK_NOFOLLOW, STATX_INO | STATX_MNT_ID, &status) != 0) return std::nullopt;
  Identity identity{status.stx_ino, 0, status.stx_dev_major, status.stx_dev_minor};
  if ((status.stx_mask & STATX_MNT_ID) != 0) identity.mount = status.stx_mnt_id;
  return identity;
}

// Kernels before 5.8 do not tell mounts; device numbers tell most of them apart.
bool same_mount(const Identity& a, const Identity& b) {
  if (a.mount != 0 && b.mount != 0) return a.mount == b.mount;
  return a.major == b.major && a.minor == b.minor;
}

// A directory on the way down. Only the deepest one is open: the way back is "..", checked by identity.
struct Level {
  std::string name;  // in its parent
  Identity identity;
  std::vector<std::string> directories;  // in it, still to be removed
  int passes = 0;
};

class Removal {
 public:
  Removal(int parent, const std::string& name) : parent_(parent), name_(name) {}

  Result<void> run() {
    if (unlinkat(parent_, name_.c_str(), 0) == 0 || errno == ENOENT) return {};
    if (errno != EISDIR && errno != EPERM) return fail_errno(errno, "remove {}", name_);
    // An empty directory, or one that was never filled, is the common case.
    if (unlinkat(parent_, name_.c_str(), AT_REMOVEDIR) == 0 || errno == ENOENT) return {};
    if (errno == ENOTDIR) return fail_errno(EPERM, "remove {}", name_);
    if (!descend(parent_, name_, identify(parent_))) return std::move(first_);
    while (!levels_.empty()) {
      Level& level = levels_.back();
      if (!level.directories.empty()) {
        std::string child = std::move(level.directories.back());
        level.directories.pop_back();
        enter_or_remove(child);
      } else if (!leave()) {
        break;
      }
    }
    return std::move(first_);
  }

 private:
  void note(int code, const std::string& name) {
    if (first_) first_ = fail_errno(code, "remove {} in {}", name, name_);
  }

  void enter_or_remove(const std::string& child) {
    if (unlinkat(current_.get(), child.c_str(), AT_REMOVEDIR) == 0 || errno == ENOENT) return;
    if (errno != ENOTEMPTY && errno != EEXIST) return note(errno, child);
    Identity here = levels_.back().identity;
    descend(current_.get(), child, here);
  }

  // Opens a directory and empties it of everything that is not one.
  bool descend(int parent, const std::string& child, std::optional<Identity> above) {
    Fd opened(openat(parent, child.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!opened) {
      note(errno, child);
      return false;
    }
    std::optional<Identity> identity = identify(opened.get());
    if (!identity) {
      note(errno, child);
      return false;
    }
    if (!above || !same_mount(*identity, *above)) {
      note(EBUSY, child);
      return false;
    }
    levels_.push_back(Level{child, *identity, {}, 0});
    current_ = std::move(opened);
    sweep();
    return true;
  }

  void sweep() {
    Level& level = levels_.back();
    ++level.passes;
    if (lseek(current_.get(), 0, SEEK_SET) < 0) return note(errno, level.name);
    for (;;) {
      ssize_t size = getdents64(current_.get(), buffer_.get(), kBuffer);
      if (size < 0) return note(errno, level.name);
      if (size == 0) return;
      for (ssize_t at = 0; at < size;) {
        const auto* entry = reinterpret_cast<const dirent64*>(buffer_.get() + at);
        at += entry->d_reclen;
        if (std::strcmp(entry->d_name, ".") == 0 || std::strcmp(entry->d_name, "..") == 0) continue;
        if (entry->d_type == DT_DIR) {
          level.directories.emplace_back(entry->d_name);
        } else if (unlinkat(current_.get(), entry->d_name, 0) != 0 && errno != ENOENT) {
          if (errno == EISDIR)
            level.directories.emplace_back(entry->d_name);
          else
            note(errno, entry->d_name);
        }
      }
    }
  }

  // Removes the level that is done with from its parent. False when the parent cannot be found again.
  bool leave() {
    const std::string name = levels_.back().name;
    if (levels_.size() == 1) {
      if (unlinkat(parent_, name.c_str(), AT_REMOVEDIR) == 0 || errno == ENOENT || !again(errno))
        levels_.pop_back();
      return true;
    }
    Fd up(openat(current_.get(), "..", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!up) {
      note(errno, name);
      return false;
    }
    if (identify(up.get()) != levels_[levels_.size() - 2].identity) {
      note(EBUSY, name);  // moved away while we were in it: above may be anything
      return false;
    }
    if (unlinkat(up.get(), name.c_str(), AT_REMOVEDIR) == 0 || errno == ENOENT || !again(errno)) {
      levels_.pop_back();
      current_ = std::move(up);
    }
    return true;
  }

  // Something is left in it: either a file system that skips entries while others go, or a writer.
  bool again(int code) {
    Level& level = levels_.back();
    if ((code == ENOTEMPTY || code == EEXIST) && first_ && level.passes < kPasses) {
      sweep();
      return true;
    }
    note(code, level.name);
    return false;
  }

  static constexpr std::size_t kBuffer = 32u << 10;

  int parent_;
  const std::string& name_;
  Fd current_;
  std::vector<Level> levels_;
  std::unique_ptr<char[]> buffer_ = std::make_unique<char[]>(kBuffer);
  Result<void> first_;
};

}  // namespace

Result<void> remove_deep_tree(int parent, const std::string& name) {
  if (name.empty() || name == "." || name == ".." || name.find('/') != std::string::npos)
    return fail(ErrorKind::invalid, "'{}' is not a name in a directory", name);
  return Removal(parent, name).run();
}

}  // namespace berth::sys
