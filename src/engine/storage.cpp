// SPDX-License-Identifier: Apache-2.0
#include "engine/storage.h"

#include <linux/magic.h>
#include <sys/vfs.h>

#include "layers/erofs_mount.h"

namespace berth::engine {
namespace {

constexpr unsigned long kXfs = 0x58465342;
constexpr unsigned long kZfs = 0x2fc12fc1;
constexpr unsigned long kBcachefs = 0xca451a4e;

std::string file_system_of(const std::string& directory) {
  struct statfs status;
  if (statfs(directory.c_str(), &status) != 0) return "unknown";
  switch (static_cast<unsigned long>(status.f_type) & 0xffffffff) {
    case EXT4_SUPER_MAGIC:
      return "extfs";
    case kXfs:
      return "xfs";
    case BTRFS_SUPER_MAGIC:
      return "btrfs";
    case TMPFS_MAGIC:
      return "tmpfs";
    case OVERLAYFS_SUPER_MAGIC:
      return "overlayfs";
    case F2FS_SUPER_MAGIC:
      return "f2fs";
    case NFS_SUPER_MAGIC:
      return "nfs";
    case kZfs:
      return "zfs";
    case kBcachefs:
      return "bcachefs";
    default:
      return fmt::format("{:#x}", static_cast<unsigned long>(status.f_type) & 0xffffffff);
  }
}

}  // namespace

Result<Storage> choose_storage(const std::string& wanted, const std::string& directory,
                               const std::string& elsewhere) {
  Storage storage;
  storage.backing = file_system_of(directory);
  if (wanted == "overlay" || wanted == "overlay2") {
    storage.reason = "the configuration asks for it";
    return storage;
  }
  Result<void> works = layers::probe_erofs(directory);
  if (!works && works.error().kind == ErrorKind::exhausted) works = layers::probe_erofs(elsewhere);
  if (!works && !wanted.empty())
    return fail(
        ErrorKind::unsupported,
        "the storage driver erofs is asked for, but {}; use overlay, or leave the choice to the engine",
        works.error().message);
  if (works) {
    storage.driver = layers::Driver::erofs;
    storage.reason = wanted.empty() ? "this machine mounts EROFS images from files"
                                    : "the configuration asks for it, and it works here";
  } else {
    storage.reason = works.error().message;
  }
  return storage;
}

std::string_view driver_name(layers::Driver driver) noexcept {
  return driver == layers::Driver::erofs ? "erofs" : "overlay2";
}

std::string_view layer_format(layers::Driver driver) noexcept {
  return driver == layers::Driver::erofs ? "tars with EROFS indexes, mounted with overlayfs"
                                         : "plain directories, mounted with overlayfs";
}

}  // namespace berth::engine
