// SPDX-License-Identifier: Apache-2.0
#include "cli/output/pending_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <utility>

#include "base/file.h"
#include "base/text.h"

namespace berth::cli {
namespace {

// What a descriptor without a name is linked by.
std::string link_of(int file) { return fmt::format("/proc/self/fd/{}", file); }

std::string random_name() { return std::string(PendingFile::kPrefix) + random_identifier().substr(0, 32); }

}  // namespace

PendingFile::PendingFile(PendingFile&& other) noexcept
    : directory_(std::move(other.directory_)),
      file_(std::move(other.file_)),
      name_(std::move(other.name_)),
      temporary_(std::exchange(other.temporary_, {})) {}

PendingFile::~PendingFile() {
  if (!temporary_.empty()) ::unlinkat(directory_.get(), temporary_.c_str(), 0);
}

Result<PendingFile> PendingFile::create(const std::string& path, mode_t mode) {
  const std::size_t slash = path.find_last_of('/');
  // O_PATH: a directory that may be written to and not listed will do.
  Fd directory = TRY(open_file(slash == path.npos ? "." : path.substr(0, slash + 1), O_PATH | O_DIRECTORY));
  PendingFile pending(std::move(directory), slash == path.npos ? path : path.substr(slash + 1));
  TRY(pending.open(mode));
  return pending;
}

Result<PendingFile> PendingFile::create_in(const Fd& directory, std::string name, mode_t mode) {
  PendingFile pending(TRY(directory.duplicate()), std::move(name));
  TRY(pending.open(mode));
  return pending;
}

Result<void> PendingFile::open(mode_t mode) {
  if (Result<Fd> unnamed = open_at(directory_.get(), ".", O_WRONLY | O_TMPFILE, mode)) {
    struct stat info {};
    file_ = std::move(*unnamed);
    if (::stat(link_of(file_.get()).c_str(), &info) == 0) return {};  // there is a /proc to link it by
  }
  std::string name = random_name();
  file_ = TRY(open_at(directory_.get(), name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode));
  temporary_ = std::move(name);
  return {};
}

Result<void> PendingFile::give_temporary_name() {
  std::string name = random_name();
  if (::linkat(AT_FDCWD, link_of(file_.get()).c_str(), directory_.get(), name.c_str(), AT_SYMLINK_FOLLOW) !=
      0)
    return fail_errno(errno, "name the new {}", name_);
  temporary_ = std::move(name);
  return {};
}

Result<void> PendingFile::finish() {
  if (temporary_.empty()) TRY(give_temporary_name());
  if (::renameat(directory_.get(), temporary_.c_str(), directory_.get(), name_.c_str()) != 0)
    return fail_errno(errno, "rename to {}", name_);
  temporary_.clear();
  return {};
}

}  // namespace berth::cli
