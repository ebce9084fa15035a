// SPDX-License-Identifier: Apache-2.0
// Writes a LayerTree as an EROFS image of metadata alone: files' data is on other devices, which are the
// layer's tar and, if need be, a file of extra contents. The format is the kernel's
// (Documentation/filesystems/erofs.rst, fs/erofs/erofs_fs.h), of which this uses:
//
//   blocks of 512 bytes, so that whatever lies in a tar can be addressed; a superblock at 1024, the device
//   table behind it; extended inodes (64 bytes, times of their own), each with its extended
//   attributes and chunk indexes; small directories and links inside their inode's block, others in blocks
//   at the end. Nothing is compressed, shared or encrypted.
//
// Equal trees give equal bytes.
#pragma once
#include <array>
#include <cstdint>

#include "archive/stream.h"
#include "base/error.h"
#include "layers/tree.h"

namespace berth::layers {

// What changes when the same tree gives other bytes than before: verify() compares indexes of one version.
inline constexpr int kErofsImageVersion = 1;
inline constexpr std::uint64_t kErofsBlock = 512;

struct ErofsDevices {
  std::uint64_t tar_size = 0;                // bytes
  std::uint64_t extra_size = 0;              // bytes; 0: there is no such device
  std::array<unsigned char, 16> identity{};  // the file system's UUID
};

// Notes positions in the tree. More than EROFS can address (2 TiB a device) is an error (unsupported).
Result<void> write_erofs_image(LayerTree& tree, const ErofsDevices& devices, archive::Sink& sink);

}  // namespace berth::layers
