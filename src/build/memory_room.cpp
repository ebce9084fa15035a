// SPDX-License-Identifier: Apache-2.0
#include "build/memory_room.h"

#include <sys/mount.h>
#include <sys/sysinfo.h>
#include <sys/xattr.h>

#include <algorithm>

#include "base/file.h"

namespace berth::build {
namespace {

constexpr std::uint64_t kPage = 4096;
constexpr std::uint64_t kMostBytes = 128u << 20;
constexpr std::uint64_t kMostItems = 100'000;                        // an inode takes some 1 KiB
constexpr std::uint64_t kShareOfMemory = 16;                         // and no more than this part of it
constexpr std::uint64_t kSpareBytes = 1u << 20, kSpareItems = 1000;  // directories on the way, whiteouts

bool is_little(const Amount& amount) {
  struct sysinfo machine;
  if (sysinfo(&machine) != 0) return false;
  const std::uint64_t memory = static_cast<std::uint64_t>(machine.totalram) * machine.mem_unit;
  return amount.items <= kMostItems && amount.bytes <= std::min(kMostBytes, memory / kShareOfMemory);
}

bool holds_attributes(const std::string& directory) {
  constexpr const char* kProbe = "user.berth.probe";
  return setxattr(directory.c_str(), kProbe, "", 0, 0) == 0 && removexattr(directory.c_str(), kProbe) == 0;
}

}  // namespace

void Amount::add(std::uint64_t size) noexcept {
  bytes += (size + kPage - 1) / kPage * kPage;
  ++items;
}

std::optional<Attached> memory_room(const std::string& directory, const Amount& amount) {
  if (!is_little(amount) || !make_directories(directory, 0700)) return std::nullopt;
  const std::string options =
      fmt::format("mode=0700,size={},nr_inodes={}", amount.bytes + kSpareBytes, amount.items + kSpareItems);
  if (mount("tmpfs", directory.c_str(), "tmpfs", MS_NOSUID | MS_NODEV, options.c_str()) != 0)
    return std::nullopt;
  std::optional<Attached> attached(std::in_place, directory);
  if (!holds_attributes(directory)) attached.reset();
  return attached;
}

}  // namespace berth::build
