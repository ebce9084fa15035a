// SPDX-License-Identifier: Apache-2.0
#include "build/memory_room.h"

#include <linux/magic.h>
#include <sys/vfs.h>

#include "build/test_trees.h"

namespace berth::build {
namespace {

bool in_memory(const std::string& path) {
  struct statfs status;
  return statfs(path.c_str(), &status) == 0 && status.f_type == TMPFS_MAGIC && status.f_blocks < (1u << 20);
}

TEST(MemoryRoom, HoldsWhatWasAskedForAndNotMuchMore) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root";
  TestTree tree;
  const std::string place = tree.path() + "/memory";
  MemoryRooms rooms;
  Amount amount;
  for (int number = 0; number < 100; ++number) amount.add(5000);
  EXPECT_EQ(amount.bytes, 100u * 8192);
  {
    const std::optional<MemoryRooms::Room> room = rooms.take(place, amount);
    ASSERT_TRUE(room);
    EXPECT_TRUE(in_memory(place));
    Fd file = open_file(place + "/f", O_WRONLY | O_CREAT, 0600).value();
    const std::string megabyte(1u << 20, 'x');
    EXPECT_TRUE(write_all(file.get(), megabyte));
    const Result<void> more = write_all(file.get(), megabyte);
    ASSERT_FALSE(more);
    EXPECT_EQ(more.error().kind, ErrorKind::exhausted);
  }
  EXPECT_FALSE(in_memory(place)) << "it goes with what held it";
  EXPECT_FALSE(tree.has("memory/f"));
}

TEST(MemoryRoom, IsNotGivenForMuch) {
  TestTree tree;
  MemoryRooms rooms;
  EXPECT_FALSE(rooms.take(tree.path() + "/a", {.bytes = 1ull << 40, .items = 1}));
  EXPECT_FALSE(rooms.take(tree.path() + "/b", {.bytes = 1, .items = 10'000'000}));
}

TEST(MemoryRoom, AllTogetherTakeNoMoreThanThereIsForThem) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root";
  TestTree tree;
  MemoryRooms rooms(10u << 20);
  const Amount amount{.bytes = 4u << 20, .items = 1};
  std::optional<MemoryRooms::Room> first = rooms.take(tree.path() + "/a", amount);
  EXPECT_TRUE(first);
  EXPECT_FALSE(rooms.take(tree.path() + "/b", amount));
  first.reset();
  EXPECT_TRUE(rooms.take(tree.path() + "/c", amount));
}

}  // namespace
}  // namespace berth::build
