// SPDX-License-Identifier: Apache-2.0
// A place in memory for files whose number and sizes are known beforehand and are not many: what COPY writes
// is there for a moment only, until it is a layer. On a disk each file would be made and removed, which costs
// more than all that is done with it between.
#pragma once
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "build/workspace.h"

namespace berth::build {

struct Amount {
  std::uint64_t bytes = 0;  // each file's rounded up to whole pages
  std::uint64_t items = 0;  // files, directories and links

  void add(std::uint64_t size) noexcept;
};

// All rooms that there are at a time, of all builds: together they take an eighth of the machine's memory at
// most. Thread-safe; outlives its rooms.
class MemoryRooms {
 public:
  MemoryRooms();
  explicit MemoryRooms(std::uint64_t most) : most_(most) {}  // bytes

  class Room {
   public:
    Room(MemoryRooms& rooms, std::uint64_t taken, Attached attached)
        : rooms_(&rooms), taken_(taken), attached_(std::move(attached)) {}
    Room(Room&& other) noexcept
        : rooms_(std::exchange(other.rooms_, nullptr)),
          taken_(other.taken_),
          attached_(std::move(other.attached_)) {}
    Room& operator=(Room&&) = delete;
    ~Room();

   private:
    MemoryRooms* rooms_;
    std::uint64_t taken_;
    Attached attached_;
  };

  // A tmpfs at `directory`, which is made, for as long as the result lives. Nothing when it is much, when the
  // others have left too little, or when the kernel's tmpfs cannot hold what an upper directory has to
  // (extended attributes of users, before Linux 6.6). Whoever finds it full after all (ErrorKind::exhausted)
  // takes the disk.
  std::optional<Room> take(const std::string& directory, const Amount& amount);

 private:
  bool reserve(std::uint64_t bytes);
  void give_back(std::uint64_t bytes) noexcept;

  const std::uint64_t most_;
  std::mutex mutex_;
  std::uint64_t taken_ = 0;
};

}  // namespace berth::build
