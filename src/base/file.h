// SPDX-License-Identifier: Apache-2.0
// Files of our own: state, records, configuration. Paths here are ones that we chose; a path that an image, a
// container or a client wrote goes through sys/rooted_path.h instead.
#pragma once
#include <sys/types.h>

#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/fd.h"

namespace berth {

inline constexpr std::size_t kSmallFileLimit = 16u << 20;

// `directory` may be AT_FDCWD. O_CLOEXEC is always set.
Result<Fd> open_at(int directory, const std::string& path, int flags, mode_t mode = 0);
Result<Fd> open_file(const std::string& path, int flags, mode_t mode = 0);

Result<std::string> read_file(const std::string& path, std::size_t limit = kSmallFileLimit);
Result<std::string> read_file_at(int directory, const std::string& name, std::size_t limit = kSmallFileLimit);

// One write(2) to a file that exists already: procfs, sysfs, cgroupfs.
Result<void> write_existing(const std::string& path, std::string_view data);

enum class Durability {
  visible,  // atomic for readers; a power cut may lose it (tmpfs, caches)
  durable,  // data and name are synced before this returns
};

// Replaces `name` in one step: a reader sees the old file or the new one, never a part.
Result<void> write_file_atomically(int directory, const std::string& name, std::string_view data, mode_t mode,
                                   Durability durability);

Result<void> make_directories(const std::string& path, mode_t mode);  // like mkdir -p
Result<void> sync_directory(int directory);

// Removes a tree that we own without following links or leaving its file system; missing is success. Goes on
// past errors and returns the first.
Result<void> remove_tree_at(int directory, const std::string& name);
Result<void> remove_tree(const std::string& path);

// Names in a directory without "." and "..", sorted.
Result<std::vector<std::string>> list_directory(const std::string& path);

bool exists(const std::string& path) noexcept;

// A directory below $TMPDIR (or /tmp) that is removed with its contents.
class TemporaryDirectory {
 public:
  static Result<TemporaryDirectory> create(std::string_view prefix, const std::string& parent = "");
  TemporaryDirectory(TemporaryDirectory&& other) noexcept : path_(std::exchange(other.path_, {})) {}
  TemporaryDirectory& operator=(TemporaryDirectory&& other) noexcept {
    std::swap(path_, other.path_);
    return *this;
  }
  ~TemporaryDirectory();
  const std::string& path() const noexcept { return path_; }
  std::string release() noexcept { return std::exchange(path_, {}); }

 private:
  explicit TemporaryDirectory(std::string path) : path_(std::move(path)) {}
  std::string path_;
};

}  // namespace berth
