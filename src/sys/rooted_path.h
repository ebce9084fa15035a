// SPDX-License-Identifier: Apache-2.0
// The one way to reach a path that an image, a container, a build context or a client wrote.
//
// Such a path is looked up from a directory descriptor, the root, and cannot leave it: ".." at the root stays
// there, an absolute path and an absolute link start at the root (as after chroot), a link that points
// outside finds what lies at the same place inside. The lookup is the kernel's (openat2 with RESOLVE_IN_ROOT
// and RESOLVE_NO_MAGICLINKS), so another process that swaps links meanwhile gains nothing; kernels and
// sandboxes without openat2 get a walk in user space, component by component, with the same meaning.
//
// `root` is any descriptor of a directory, O_PATH is enough. Every returned descriptor is close-on-exec.
// A path may be relative or absolute, empty means the root; one with a NUL byte is an error (invalid).
// Errors name the path and have the errno of the kernel: ENOENT is not_found, too many links is ELOOP.
//
//   Fd rootfs = TRY(open_file("/var/lib/.../rootfs", O_PATH | O_DIRECTORY));
//   std::string passwd = TRY(sys::read_file_in_root(rootfs.get(), "/etc/passwd", 1 << 20));
//   Fd target = TRY(sys::make_directories_in_root(rootfs.get(), container_path, {.mode = 0755}));
#pragma once
#include <sys/stat.h>
#include <sys/types.h>

#include <string>
#include <string_view>

#include "base/error.h"
#include "base/fd.h"
#include "base/file.h"

namespace berth::sys {

// Opens `path` with open(2)'s `flags`: a link at its end is followed inside the root unless O_NOFOLLOW is
// among them. Opening a FIFO or a device that a container planted can block or act: to read a file use
// open_regular_in_root, to refer to one use O_PATH.
Result<Fd> open_in_root(int root, std::string_view path, int flags, mode_t mode = 0);

// The same, but a path or a link that would leave the root is an error (EXDEV, denied) instead of being
// confined.
Result<Fd> open_beneath(int root, std::string_view path, int flags, mode_t mode = 0);

// For reading; anything but a regular file is an error, and a FIFO does not block.
Result<Fd> open_regular_in_root(int root, std::string_view path);
Result<std::string> read_file_in_root(int root, std::string_view path, std::size_t limit = kSmallFileLimit);

// The directory that holds the last component, links on the way followed, and that component's name, which is
// not looked up: for mkdirat, unlinkat, linkat, symlinkat, mknodat, which never follow it. The name is "."
// when the path denotes a directory by itself ("/", "a/.", "a/.."), and else has no slash and is not "..".
struct RootedParent {
  Fd directory;  // O_PATH
  std::string name;
};
Result<RootedParent> parent_in_root(int root, std::string_view path);

// Like mkdir -p: makes what is missing and returns the last directory (O_PATH). Links on the way are followed
// inside the root, and what a dangling one points to is made. Directories that exist are left as they are.
struct NewDirectory {
  mode_t mode = 0755;                    // exactly, whatever the umask is
  uid_t owner = static_cast<uid_t>(-1);  // -1: as created
  gid_t group = static_cast<gid_t>(-1);
};
Result<Fd> make_directories_in_root(int root, std::string_view path, const NewDirectory& made = {});

// An existing file, opened O_PATH and whatever its type, or a new empty regular one with its missing parents:
// what a file is bind-mounted onto. A directory is an error (EISDIR).
Result<Fd> make_file_in_root(int root, std::string_view path, mode_t mode, const NewDirectory& parents = {});

enum class FinalLink { follow, keep };
Result<struct stat> stat_in_root(int root, std::string_view path, FinalLink link = FinalLink::follow);
bool exists_in_root(int root, std::string_view path, FinalLink link = FinalLink::follow) noexcept;
Result<std::string> readlink_in_root(int root, std::string_view path);

// The path below the root, absolute and without links, at which `path` ends after all links are followed;
// what does not exist yet is kept as written. For showing and comparing only: opening it later is another
// lookup.
Result<std::string> resolve_in_root(int root, std::string_view path);

// Removes a file, or a directory with everything in it; a link is removed, not followed. Missing is success,
// the root itself is an error.
Result<void> remove_in_root(int root, std::string_view path);

// `path` without "", "." and ".." components and without slashes at either end; ".." takes back the component
// before it, at the start it is dropped. Lexical: the name of an archive's entry, never a path with links.
std::string clean_relative(std::string_view path);

// The walk that stands in for openat2: open_in_root and open_beneath use it where the kernel has none. Public
// so that tests hold both to the same meaning.
enum class Leaving { confined, refused };
Result<Fd> walk_in_root(int root, std::string_view path, int flags, mode_t mode, Leaving leaving);

}  // namespace berth::sys
