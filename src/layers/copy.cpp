// SPDX-License-Identifier: Apache-2.0
#include "layers/copy.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "archive/pack.h"
#include "base/fd.h"
#include "sys/rooted_path.h"

namespace berth::layers {
namespace {

// A path as a client wrote it: cleaned, with what its end says about it.
struct Asked {
  std::string path;        // cleaned, relative to the root
  bool directory = false;  // ended in "/": a link there is followed
  bool contents = false;   // ended in "/.": what is in it
};

Asked read_path(std::string_view path) {
  Asked asked;
  asked.path = sys::clean_relative(path);
  asked.contents = path == "." || path.ends_with("/.");
  asked.directory = asked.contents || path.ends_with("/");
  return asked;
}

// What Go's filepath.Base says.
std::string base_name(const Asked& asked) {
  if (asked.contents) return ".";
  if (asked.path.empty()) return "/";
  return asked.path.substr(asked.path.find_last_of('/') + 1);
}

Result<Fd> open_asked(int root, const Asked& asked) {
  return sys::open_in_root(root, asked.path, O_PATH | (asked.directory ? O_DIRECTORY : O_NOFOLLOW));
}

}  // namespace

std::uint32_t go_file_mode(std::uint32_t st_mode) noexcept {
  std::uint32_t mode = st_mode & 0777;
  switch (st_mode & S_IFMT) {
    case S_IFDIR:
      mode |= 1u << 31;
      break;
    case S_IFLNK:
      mode |= 1u << 27;
      break;
    case S_IFBLK:
      mode |= 1u << 26;
      break;
    case S_IFCHR:
      mode |= 1u << 26 | 1u << 21;
      break;
    case S_IFIFO:
      mode |= 1u << 25;
      break;
    case S_IFSOCK:
      mode |= 1u << 24;
      break;
    default:
      break;
  }
  if ((st_mode & S_ISUID) != 0) mode |= 1u << 23;
  if ((st_mode & S_ISGID) != 0) mode |= 1u << 22;
  if ((st_mode & S_ISVTX) != 0) mode |= 1u << 20;
  return mode;
}

Result<PathStat> stat_path(int root, std::string_view path) {
  const Asked asked = read_path(path);
  Fd opened = TRY(open_asked(root, asked));
  struct stat status;
  if (fstat(opened.get(), &status) != 0) return fail_errno(errno, "stat {}", path);
  PathStat stat;
  stat.name = base_name(asked);
  stat.size = static_cast<std::uint64_t>(status.st_size);
  stat.mode = go_file_mode(status.st_mode);
  stat.mtime = Timestamp{status.st_mtim.tv_sec * 1'000'000'000 + status.st_mtim.tv_nsec};
  if (S_ISLNK(status.st_mode)) stat.link_target = TRY(sys::resolve_in_root(root, asked.path));
  return stat;
}

Result<void> archive_path(int root, std::string_view path, archive::Sink& sink, std::stop_token stop) {
  const Asked asked = read_path(path);
  Fd opened = TRY(open_asked(root, asked));
  struct stat status;
  if (fstat(opened.get(), &status) != 0) return fail_errno(errno, "stat {}", path);
  archive::PackOptions options;
  options.stop = std::move(stop);
  options.prefix = base_name(asked);
  // A directory is packed from the descriptor that was looked at; anything else by its name beside it.
  if (S_ISDIR(status.st_mode)) return archive::pack(opened.get(), "/", sink, options);
  return archive::pack(root, asked.path, sink, options);
}

Result<void> extract_to(int root, std::string_view path, archive::Source& tar,
                        const ExtractOptions& options) {
  const Asked asked = read_path(path);
  // Links are followed to a directory that is then named without them: entries cannot shift it any more.
  const std::string place = TRY(sys::resolve_in_root(root, asked.path));
  struct stat status = TRY(sys::stat_in_root(root, place));
  if (!S_ISDIR(status.st_mode)) return fail(ErrorKind::invalid, "extraction point is not a directory");
  archive::UnpackOptions unpacking;
  unpacking.base = place;
  unpacking.keep_directory_kind = options.no_overwrite_dir_non_dir;
  unpacking.chown_to = options.chown_to;
  unpacking.set_root_attributes = false;
  unpacking.stop = options.stop;
  TRY(archive::unpack(tar, root, unpacking));
  return {};
}

}  // namespace berth::layers
