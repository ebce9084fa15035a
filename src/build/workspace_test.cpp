// SPDX-License-Identifier: Apache-2.0
#include "build/workspace.h"

#include <sys/mount.h>

#include "build/test_trees.h"

namespace berth::build {
namespace {

int mounts_below(const std::string& path) {
  const std::string table = read_file("/proc/self/mountinfo", 64u << 20).value();
  int count = 0;
  for (std::size_t at = table.find(path + "/"); at != std::string::npos; at = table.find(path + "/", at + 1))
    ++count;
  return count;
}

TEST(Workspace, GoesWithAllThatIsInIt) {
  TestTree parent;
  {
    const Workspace work = Workspace::create(parent.path()).value();
    Fd at = open_file(work.path(), O_RDONLY | O_DIRECTORY).value();
    for (int depth = 0; depth < 3000; ++depth) {  // as a hostile step or context would have it
      ASSERT_EQ(mkdirat(at.get(), "d", 0755), 0);
      at = open_at(at.get(), "d", O_RDONLY | O_DIRECTORY).value();
    }
  }
  EXPECT_TRUE(list_directory(parent.path())->empty());
}

TEST(Workspace, WhatIsAttachedInItIsTakenOffBefore) {
  TestTree parent;
  {
    const Workspace work = Workspace::create(parent.path()).value();
    const std::string place = work.path() + "/files";
    ASSERT_TRUE(make_directories(place, 0700));
    ASSERT_EQ(mount("tmpfs", place.c_str(), "tmpfs", 0, nullptr), 0);
    const Attached attached(place);
    std::ofstream(place + "/f") << "1";
    EXPECT_EQ(mounts_below(parent.path()), 1);
  }
  EXPECT_EQ(mounts_below(parent.path()), 0);
  EXPECT_TRUE(list_directory(parent.path())->empty());
}

// A kill leaves mounts at both depths at which they are made.
TEST(Workspace, WhatACrashLeftIsTakenAway) {
  TestTree parent;
  for (const char* place : {"w1/files", "w1/bind-0/tree"}) {
    parent.directory(place);
    ASSERT_EQ(mount("tmpfs", (parent.path() + "/" + place).c_str(), "tmpfs", 0, nullptr), 0);
    parent.file(std::string(place) + "/f", "1");
  }
  parent.file("w2/x", "1");
  ASSERT_TRUE(clear_workspaces(parent.path()));
  EXPECT_EQ(mounts_below(parent.path()), 0);
  EXPECT_TRUE(list_directory(parent.path())->empty());
}

}  // namespace
}  // namespace berth::build
