// SPDX-License-Identifier: Apache-2.0
#include "archive/tree_walk.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/fd.h"

namespace berth::archive {
namespace {

constexpr std::size_t kOpenLevels = 64;  // deeper ones are closed while we are below them

struct Level {
  Fd directory;
  dev_t device = 0;
  ino_t inode = 0;
  std::vector<std::string> names;
  std::size_t at = 0;
  std::size_t path_size = 0;  // of this directory's own path
};

class Walker {
 public:
  explicit Walker(const std::function<Result<Descend>(const WalkItem&)>& visit) : visit_(visit) {}

  Result<void> run(int start) {
    Fd opened(openat(start, ".", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!opened) return fail_errno(errno, "open a directory to read it");
    TRY(push(std::move(opened)));
    while (!levels_.empty()) {
      Level& level = levels_.back();
      if (level.at < level.names.size())
        TRY(step(level, level.names[level.at++]));
      else
        TRY(pop());
    }
    return {};
  }

 private:
  Result<void> push(Fd directory) {
    struct stat status;
    if (fstat(directory.get(), &status) != 0) return fail_errno(errno, "stat {}", path_);
    Level level;
    level.names = TRY_AS("read " + path_, names_in(directory.get()));
    level.directory = std::move(directory);
    level.device = status.st_dev;
    level.inode = status.st_ino;
    level.path_size = path_.size();
    if (levels_.size() > kOpenLevels) levels_.back().directory.reset();
    levels_.push_back(std::move(level));
    return {};
  }

  Result<void> pop() {
    Level done = std::move(levels_.back());
    levels_.pop_back();
    if (levels_.empty() || levels_.back().directory) return {};
    Level& above = levels_.back();
    Fd up(openat(done.directory.get(), "..", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!up) return fail_errno(errno, "go back from {}", path_);
    struct stat status;
    if (fstat(up.get(), &status) != 0) return fail_errno(errno, "stat the parent of {}", path_);
    if (status.st_dev != above.device || status.st_ino != above.inode)
      return fail(ErrorKind::conflict, "the directory {} was moved while it was read", path_);
    above.directory = std::move(up);
    return {};
  }

  Result<void> step(Level& level, const std::string& name) {
    const int directory = level.directory.get();
    path_.resize(level.path_size);
    if (!path_.empty()) path_ += '/';
    path_ += name;
    struct stat status;
    if (fstatat(directory, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
      if (errno == ENOENT) return {};
      return fail_errno(errno, "stat {}", path_);
    }
    const Descend descend = TRY(visit_(WalkItem{directory, name, path_, status}));
    if (!S_ISDIR(status.st_mode) || descend == Descend::no) return {};
    Fd opened(openat(directory, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!opened) {
      if (errno == ENOENT || errno == ENOTDIR || errno == ELOOP) return {};  // it is something else by now
      return fail_errno(errno, "open {}", path_);
    }
    return push(std::move(opened));
  }

  const std::function<Result<Descend>(const WalkItem&)>& visit_;
  std::vector<Level> levels_;
  std::string path_;
};

}  // namespace

Result<std::vector<std::string>> names_in(int directory) {
  std::vector<std::string> names;
  alignas(dirent64) char buffer[32u << 10];
  for (;;) {
    const ssize_t size = getdents64(directory, buffer, sizeof buffer);
    if (size < 0) return fail_errno(errno, "list a directory");
    if (size == 0) break;
    for (ssize_t at = 0; at < size;) {
      const auto* entry = reinterpret_cast<const dirent64*>(buffer + at);
      at += entry->d_reclen;
      if (std::strcmp(entry->d_name, ".") != 0 && std::strcmp(entry->d_name, "..") != 0)
        names.emplace_back(entry->d_name);
    }
  }
  std::sort(names.begin(), names.end());
  return names;
}

Result<void> walk_tree(int start, const std::function<Result<Descend>(const WalkItem&)>& visit) {
  return Walker(visit).run(start);
}

}  // namespace berth::archive
