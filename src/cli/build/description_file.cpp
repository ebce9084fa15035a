// SPDX-License-Identifier: Apache-2.0
#include "cli/build/description_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "cli/create/security.h"

namespace berth::cli {
namespace {

struct Place {
  std::string directory, name;
};

Place place_of(const std::string& path) {
  const std::size_t slash = path.find_last_of('/');
  if (slash == path.npos) return {.directory = ".", .name = path};
  return {.directory = path.substr(0, slash + 1), .name = path.substr(slash + 1)};
}

}  // namespace

Result<void> check_description_file(std::string_view option, const std::string& path) {
  if (path.empty()) return {};
  struct stat info {};
  const bool there = ::stat(path.c_str(), &info) == 0;
  if (there && S_ISDIR(info.st_mode)) return fail(ErrorKind::invalid, "{}: {} is a directory", option, path);
  const std::string& written = there ? path : place_of(path).directory;
  if (::access(written.c_str(), there ? W_OK : W_OK | X_OK) != 0)
    return fail(kind_of_errno(errno), "{}: cannot write to {}: {}", option, path, words_of_errno(errno));
  return {};
}

void forget_description(const std::string& path) {
  struct stat info {};
  if (path.empty() || ::lstat(path.c_str(), &info) != 0 || !S_ISREG(info.st_mode)) return;
  // One in a directory that is not ours, or a mount: it stays, and is empty.
  if (::unlink(path.c_str()) != 0) (void)open_file(path, O_WRONLY | O_TRUNC | O_NOFOLLOW);
}

Result<void> write_description(const std::string& path, std::string_view text) {
  if (path.empty()) return {};
  struct stat info {};
  if (::lstat(path.c_str(), &info) == 0) {
    const Fd file = TRY(open_file(path, O_WRONLY | O_CREAT | O_TRUNC, 0644));
    return write_all(file.get(), text);
  }
  const Place place = place_of(path);
  const Fd directory = TRY(open_file(place.directory, O_RDONLY | O_DIRECTORY));
  return write_file_atomically(directory.get(), place.name, text, 0644, Durability::visible);
}

}  // namespace berth::cli
