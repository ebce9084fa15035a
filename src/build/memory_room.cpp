// SPDX-License-Identifier: Apache-2.0
#include "build/memory_room.h"

#include <sys/mount.h>
#include <sys/sysinfo.h>
#include <sys/xattr.h>

#include "base/file.h"

namespace berth::build {
namespace {

constexpr std::uint64_t kPage = 4096;
constexpr std::uint64_t kMostBytes = 128u << 20;  // of one
constexpr std::uint64_t kMostItems = 100'000;
constexpr std::uint64_t kInode = 1024;                               // bytes that one takes, about
constexpr std::uint64_t kAllOfMemory = 8;                            // this part of it, for all
constexpr std::uint64_t kSpareBytes = 1u << 20, kSpareItems = 1000;  // directories on the way, whiteouts

std::uint64_t memory_of_machine() {
  struct sysinfo machine;
  return sysinfo(&machine) == 0 ? static_cast<std::uint64_t>(machine.totalram) * machine.mem_unit : 0;
}

bool holds_attributes(const std::string& directory) {
  constexpr const char* kProbe = "user.berth.probe";
  return setxattr(directory.c_str(), kProbe, "", 0, 0) == 0 && removexattr(directory.c_str(), kProbe) == 0;
}

std::optional<Attached> mount_memory(const std::string& directory, const Amount& amount) {
  if (!make_directories(directory, 0700)) return std::nullopt;
  const std::string options =
      fmt::format("mode=0700,size={},nr_inodes={}", amount.bytes + kSpareBytes, amount.items + kSpareItems);
  if (mount("tmpfs", directory.c_str(), "tmpfs", MS_NOSUID | MS_NODEV, options.c_str()) != 0)
    return std::nullopt;
  std::optional<Attached> attached(std::in_place, directory);
  if (!holds_attributes(directory)) attached.reset();
  return attached;
}

}  // namespace

void Amount::add(std::uint64_t size) noexcept {
  bytes += (size + kPage - 1) / kPage * kPage;
  ++items;
}

MemoryRooms::MemoryRooms() : MemoryRooms(memory_of_machine() / kAllOfMemory) {}

MemoryRooms::Room::~Room() {
  if (rooms_) rooms_->give_back(taken_);
}

std::optional<MemoryRooms::Room> MemoryRooms::take(const std::string& directory, const Amount& amount) {
  if (amount.bytes > kMostBytes || amount.items > kMostItems) return std::nullopt;
  const std::uint64_t bytes = amount.bytes + kSpareBytes + (amount.items + kSpareItems) * kInode;
  if (!reserve(bytes)) return std::nullopt;
  std::optional<Attached> attached = mount_memory(directory, amount);
  if (!attached) {
    give_back(bytes);
    return std::nullopt;
  }
  return Room(*this, bytes, std::move(*attached));
}

bool MemoryRooms::reserve(std::uint64_t bytes) {
  std::lock_guard lock(mutex_);
  if (bytes > most_ - taken_) return false;
  taken_ += bytes;
  return true;
}

void MemoryRooms::give_back(std::uint64_t bytes) noexcept {
  std::lock_guard lock(mutex_);
  taken_ -= bytes;
}

}  // namespace berth::build
