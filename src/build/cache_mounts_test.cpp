// SPDX-License-Identifier: Apache-2.0
#include "build/cache_mounts.h"

#include <atomic>
#include <thread>

#include "build/test_trees.h"

namespace berth::build {
namespace {

using Sharing = dockerfile::Mount::Sharing;

dockerfile::Mount mount_of(const std::string& id, Sharing sharing = Sharing::shared) {
  dockerfile::Mount mount;
  mount.type = dockerfile::Mount::Type::cache;
  mount.id = id;
  mount.target = "/c";
  mount.sharing = sharing;
  return mount;
}

class CacheMountsTest : public testing::Test {
 protected:
  static Result<void> nothing(int) { return {}; }
  std::unique_ptr<CacheMountUse> use(const dockerfile::Mount& mount, const std::stop_token& stop = {}) {
    Result<std::unique_ptr<CacheMountUse>> used = mounts.use(mount, nothing, stop);
    EXPECT_TRUE(used) << used.error().message;
    return used ? std::move(*used) : nullptr;
  }

  TestTree directory;
  CacheMounts mounts{directory.path()};
};

TEST_F(CacheMountsTest, WhatIsWrittenStaysForTheNext) {
  std::ofstream(use(mount_of("a"))->path() + "/f") << "kept";
  EXPECT_EQ(read_file(use(mount_of("a"))->path() + "/f").value(), "kept");
  EXPECT_FALSE(exists(use(mount_of("b"))->path() + "/f"));
  ASSERT_EQ(mounts.list().size(), 2u);
}

TEST_F(CacheMountsTest, AnOwnerAndAModeAreANewOnes) {
  dockerfile::Mount mount = mount_of("a");
  mount.uid = 5;
  mount.gid = 6;
  mount.mode = 01777;
  struct stat status;
  ASSERT_EQ(stat(use(mount)->path().c_str(), &status), 0);
  EXPECT_EQ(status.st_uid, 5u);
  EXPECT_EQ(status.st_gid, 6u);
  EXPECT_EQ(status.st_mode & 07777, 01777u);
}

TEST_F(CacheMountsTest, SeveralWhoMakeTheSameAtOnceGetOneThatIsWhole) {
  std::atomic<int> whole = 0;
  auto fill = [](int data) -> Result<void> {
    Fd file = open_at(data, "first", O_WRONLY | O_CREAT | O_EXCL, 0644).value();
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    Fd other = open_at(data, "second", O_WRONLY | O_CREAT | O_EXCL, 0644).value();
    return {};
  };
  std::vector<std::jthread> threads;
  for (int count = 0; count < 8; ++count)
    threads.emplace_back([&] {
      Result<std::unique_ptr<CacheMountUse>> used = mounts.use(mount_of("a"), fill, {});
      ASSERT_TRUE(used) << used.error().message;
      whole += exists((*used)->path() + "/first") && exists((*used)->path() + "/second");
    });
  threads.clear();
  EXPECT_EQ(whole, 8);
  EXPECT_EQ(list_directory(directory.path())->size(), 1u) << "nothing half made stays";
}

TEST_F(CacheMountsTest, OneThatCouldNotBeFilledIsNotThere) {
  auto fill = [](int) -> Result<void> { return fail(ErrorKind::exhausted, "no space"); };
  EXPECT_FALSE(mounts.use(mount_of("a"), fill, {}));
  EXPECT_TRUE(list_directory(directory.path())->empty());
}

TEST_F(CacheMountsTest, ALockedOneIsHadByOneAtATimeAndWaitsOnlyUntilAStop) {
  std::unique_ptr<CacheMountUse> first = use(mount_of("a", Sharing::locked));
  std::stop_source stop;
  std::jthread stopper([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(30));
    stop.request_stop();
  });
  EXPECT_FALSE(mounts.use(mount_of("a", Sharing::locked), nothing, stop.get_token()));
  first.reset();
  EXPECT_TRUE(use(mount_of("a", Sharing::locked)));
}

TEST_F(CacheMountsTest, PrivateOnesAreCopiesWhileSeveralHaveThem) {
  std::unique_ptr<CacheMountUse> first = use(mount_of("a", Sharing::exclusive));
  std::unique_ptr<CacheMountUse> second = use(mount_of("a", Sharing::exclusive));
  EXPECT_NE(first->path(), second->path());
  const std::string path = first->path();
  first.reset();
  EXPECT_EQ(use(mount_of("a", Sharing::exclusive))->path(), path) << "the first that is free";
}

TEST_F(CacheMountsTest, OneInUseIsNotRemovedAndAnotherGoesWhateverItsDepth) {
  std::unique_ptr<CacheMountUse> used = use(mount_of("a"));
  const std::string key = mounts.list().front().key;
  EXPECT_FALSE(mounts.remove(key));
  Fd at = open_file(used->path(), O_RDONLY | O_DIRECTORY).value();
  for (int depth = 0; depth < 3000; ++depth) {
    ASSERT_EQ(mkdirat(at.get(), "d", 0755), 0);
    at = open_at(at.get(), "d", O_RDONLY | O_DIRECTORY).value();
  }
  at.reset();
  used.reset();
  EXPECT_TRUE(mounts.remove(key));
  EXPECT_TRUE(list_directory(directory.path())->empty());
}

TEST_F(CacheMountsTest, WhatACrashLeftHalfMadeGoesAtTheStart) {
  directory.file(".123/_data/f", "half");
  ASSERT_TRUE(mounts.load());
  EXPECT_TRUE(list_directory(directory.path())->empty());
}

}  // namespace
}  // namespace berth::build
