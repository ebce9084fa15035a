// SPDX-License-Identifier: Apache-2.0
#include "sys/remove_deep_tree.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"

namespace berth::sys {
namespace {

class RemoveDeepTree : public testing::Test {
 protected:
  void SetUp() override { parent_ = open_file(temporary_.path(), O_RDONLY | O_DIRECTORY).value(); }
  bool there(const char* name) { return faccessat(parent_.get(), name, F_OK, AT_SYMLINK_NOFOLLOW) == 0; }
  void file(const std::string& path) { ASSERT_TRUE(open_at(parent_.get(), path, O_WRONLY | O_CREAT, 0600)); }
  void directory(const std::string& path) { ASSERT_EQ(mkdirat(parent_.get(), path.c_str(), 0700), 0); }

  TemporaryDirectory temporary_ =
      TemporaryDirectory::create("deep-tree", "/dev/shm").value();  // memory: quick
  Fd parent_;
};

TEST_F(RemoveDeepTree, RemovesFilesLinksAndDirectories) {
  directory("t");
  directory("t/d");
  directory("t/empty");
  file("t/d/f");
  file("keep");
  ASSERT_EQ(symlinkat("../../keep", parent_.get(), "t/d/link"), 0);
  ASSERT_EQ(symlinkat("..", parent_.get(), "t/up"), 0);
  ASSERT_EQ(mkfifoat(parent_.get(), "t/fifo", 0600), 0);
  EXPECT_TRUE(remove_deep_tree(parent_.get(), "t"));
  EXPECT_FALSE(there("t"));
  EXPECT_TRUE(there("keep"));
  EXPECT_TRUE(remove_deep_tree(parent_.get(), "keep"));
  EXPECT_TRUE(remove_deep_tree(parent_.get(), "missing"));
}

TEST_F(RemoveDeepTree, RefusesWhatIsNotAName) {
  for (const char* name : {"", ".", "..", "a/b", "../x"}) EXPECT_FALSE(remove_deep_tree(parent_.get(), name));
}

TEST_F(RemoveDeepTree, SurvivesTwentyThousandLevelsWithFewDescriptors) {
  constexpr int kLevels = 20'000;
  directory("t");
  Fd at = open_at(parent_.get(), "t", O_PATH).value();
  for (int i = 0; i < kLevels; ++i) {
    ASSERT_EQ(mkdirat(at.get(), "d", 0700), 0);
    Fd next = open_at(at.get(), "d", O_PATH).value();
    if (i % 1000 == 0) {
      ASSERT_TRUE(open_at(at.get(), "f", O_WRONLY | O_CREAT, 0600));
    }
    at = std::move(next);
  }
  at.reset();
  struct rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  struct rlimit few = {static_cast<rlim_t>(parent_.get()) + 8, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &few), 0);
  Result<void> removed = remove_deep_tree(parent_.get(), "t");
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_TRUE(removed) << removed.error().message;
  EXPECT_FALSE(there("t"));
}

TEST_F(RemoveDeepTree, RemovesAWideDirectory) {
  directory("t");
  for (int i = 0; i < 5000; ++i) {
    if (i % 2 == 0)
      file("t/" + std::to_string(i));
    else
      directory("t/" + std::to_string(i));
  }
  EXPECT_TRUE(remove_deep_tree(parent_.get(), "t"));
  EXPECT_FALSE(there("t"));
}

class Mounted {
 public:
  explicit Mounted(std::string path) : path_(std::move(path)) {
    ok_ = mount("tmpfs", path_.c_str(), "tmpfs", 0, "size=1m") == 0;
  }
  ~Mounted() {
    if (ok_) umount2(path_.c_str(), MNT_DETACH);
  }
  bool ok() const { return ok_; }

 private:
  std::string path_;
  bool ok_;
};

TEST_F(RemoveDeepTree, DoesNotEnterAMount) {
  directory("t");
  directory("t/m");
  directory("t/other");
  {
    Mounted mounted(temporary_.path() + "/t/m");
    ASSERT_TRUE(mounted.ok());
    file("t/m/precious");
    Result<void> removed = remove_deep_tree(parent_.get(), "t");
    ASSERT_FALSE(removed);
    EXPECT_EQ(removed.error().code, EBUSY);
    EXPECT_TRUE(there("t/m/precious"));
    EXPECT_FALSE(there("t/other")) << "the rest goes";
    EXPECT_FALSE(remove_deep_tree(open_at(parent_.get(), "t", O_PATH).value().get(), "m"));
    EXPECT_TRUE(there("t/m/precious"));
  }
  EXPECT_TRUE(remove_deep_tree(parent_.get(), "t"));
}

// A bind mount of a directory of the same file system has the same device number: the mount tells it apart.
TEST_F(RemoveDeepTree, DoesNotEnterABindMountOfTheSameFileSystem) {
  directory("t");
  directory("t/m");
  directory("precious");
  file("precious/f");
  const std::string target = temporary_.path() + "/t/m";
  ASSERT_EQ(mount((temporary_.path() + "/precious").c_str(), target.c_str(), nullptr, MS_BIND, nullptr), 0);
  EXPECT_FALSE(remove_deep_tree(parent_.get(), "t"));
  EXPECT_TRUE(there("precious/f"));
  EXPECT_EQ(umount2(target.c_str(), MNT_DETACH), 0);
  EXPECT_TRUE(remove_deep_tree(parent_.get(), "t"));
}

}  // namespace
}  // namespace berth::sys
