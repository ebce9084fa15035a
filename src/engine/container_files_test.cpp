// SPDX-License-Identifier: Apache-2.0
#include "engine/container_files.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "engine/shared_mounts.h"
#include "sys/mounts.h"
#include "sys/rooted_path.h"

namespace berth::engine {
namespace {

using testing::HasSubstr;

class ContainerFiles : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "mounting needs root";
    for (const char* name : {"/root", "/place", "/data", "/data/part", "/other"})
      ASSERT_TRUE(make_directories(path(name), 0755));
    write("/data/file", "of the volume");
    write("/data/part/file", "of a part");
    write("/other/file", "of another");
  }
  std::string path(const std::string& name) const { return directory_.path() + name; }
  void write(const std::string& name, std::string_view text) const {
    Fd file = open_file(path(name), O_WRONLY | O_CREAT | O_TRUNC, 0644).value();
    ASSERT_TRUE(write_all(file.get(), text));
  }
  MountPoint mount(const std::string& source, const std::string& destination) const {
    return {.type = "bind", .source = path(source), .destination = destination};
  }
  Result<Fd> inside(std::vector<MountPoint> mounts) const {
    return mount_inside(TRY(sys::clone_mount(path("/root"), false)), std::move(mounts), path("/place"));
  }
  std::string read(const Fd& root, const std::string& name) const {
    return sys::read_file_in_root(root.get(), name).value_or("nothing");
  }

  TemporaryDirectory directory_ = TemporaryDirectory::create("files").value();
};

TEST_F(ContainerFiles, MountsAreSeenAndOutliveWhatTheyWereMadeOf) {
  ASSERT_TRUE(make_directories(path("/root/old"), 0755));
  write("/root/own", "of the root");
  MountPoint part = mount("/data", "/part");
  part.subpath = "part";
  Result<Fd> root = inside(
      {mount("/other", "/old/nested/deep"), mount("/data", "/old"), mount("/data/file", "/one"), part});
  ASSERT_TRUE(root) << root.error().message;
  EXPECT_EQ(read(*root, "/own"), "of the root");
  EXPECT_EQ(read(*root, "/old/file"), "of the volume");
  EXPECT_EQ(read(*root, "/old/nested/deep/file"), "of another");
  EXPECT_EQ(read(*root, "/one"), "of the volume");
  EXPECT_EQ(read(*root, "/part/file"), "of a part");
  EXPECT_EQ(sys::resolve_in_root(root->get(), "/old/nested/../file").value(), "/old/file");
  ASSERT_TRUE(sys::open_in_root(root->get(), "/old/new", O_WRONLY | O_CREAT, 0644));
  EXPECT_TRUE(exists(path("/data/new")));
}

TEST_F(ContainerFiles, NothingOfItShowsOnTheHost) {
  among_shared_mounts([&] {
    auto table = [] { return read_file("/proc/thread-self/mountinfo").value(); };
    const std::string before = table();
    Result<Fd> root = inside({mount("/data", "/data")});
    ASSERT_TRUE(root) << root.error().message;
    EXPECT_EQ(table(), before);
    root->reset();
    EXPECT_EQ(table(), before);
  });
}

TEST_F(ContainerFiles, WhatIsReadOnlyInTheContainerIsReadOnlyHere) {
  MountPoint locked = mount("/data", "/locked");
  locked.read_only = true;
  Result<Fd> root = inside({locked, mount("/data", "/open")});
  ASSERT_TRUE(root) << root.error().message;
  EXPECT_EQ(sys::open_in_root(root->get(), "/locked/new", O_WRONLY | O_CREAT, 0644).error().code, EROFS);
  EXPECT_TRUE(sys::open_in_root(root->get(), "/open/new", O_WRONLY | O_CREAT, 0644));
}

TEST_F(ContainerFiles, ALinkOfTheContainerLeadsToAPlaceInIt) {
  ASSERT_EQ(symlink(path("/other").c_str(), path("/root/link").c_str()), 0);
  Result<Fd> root = inside({mount("/data", "/link/inner")});
  ASSERT_TRUE(root) << root.error().message;
  EXPECT_EQ(read(*root, path("/other") + "/inner/file"), "of the volume");
  EXPECT_FALSE(exists(path("/other/inner")));
}

TEST_F(ContainerFiles, AMountThatCannotBeMadeIsAnError) {
  Result<Fd> root = inside({mount("/missing", "/data")});
  ASSERT_FALSE(root);
  EXPECT_THAT(root.error().message, HasSubstr(path("/missing")));
}

}  // namespace
}  // namespace berth::engine
