// SPDX-License-Identifier: Apache-2.0
#include "engine/volume_content.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

namespace berth::engine {
namespace {

class VolumeContent : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "owners need root";
    ASSERT_TRUE(make_directories(place_.data(), 0755));
    ASSERT_TRUE(make_directories(image_ + "/etc/deep", 0755));
    write(image_ + "/etc/passwd", "root");
    ASSERT_EQ(chown((image_ + "/etc").c_str(), 7, 8), 0);
    ASSERT_EQ(chmod((image_ + "/etc").c_str(), 0750), 0);
  }
  static void write(const std::string& path, const std::string& text) {
    Fd file = open_file(path, O_WRONLY | O_CREAT | O_TRUNC, 0644).value();
    ASSERT_TRUE(write_all(file.get(), text));
  }
  Result<void> fill(const std::string& destination, HalfFilled half_filled = HalfFilled::removed) {
    return fill_volume(
        place_, destination, [&] { return open_file(image_, O_PATH | O_DIRECTORY); }, half_filled,
        Durability::durable);
  }
  std::vector<std::string> names() { return list_directory(place_.data()).value(); }
  using Names = std::vector<std::string>;

  TemporaryDirectory directory_ = TemporaryDirectory::create("volume").value();
  std::string image_ = directory_.path() + "/image";
  std::string outside_ = directory_.path() + "/outside";
  VolumePlace place_{directory_.path() + "/volume"};
};

TEST_F(VolumeContent, AnEmptyVolumeGetsTheImagesFilesWithTheirOwnersAndModes) {
  ASSERT_TRUE(fill("/etc"));
  EXPECT_EQ(names(), (Names{"deep", "passwd"}));
  struct stat status;
  ASSERT_EQ(stat(place_.data().c_str(), &status), 0);
  EXPECT_EQ(status.st_uid, 7u);
  EXPECT_EQ(status.st_gid, 8u);
  EXPECT_EQ(status.st_mode & 07777, 0750u);
  EXPECT_EQ(list_directory(place_.directory).value(), Names{"_data"}) << "no mark stays";
}

TEST_F(VolumeContent, WhatIsInAVolumeIsLeftAlone) {
  write(place_.data() + "/mine", "");
  ASSERT_TRUE(fill("/etc"));
  EXPECT_EQ(names(), Names{"mine"});
}

TEST_F(VolumeContent, AnImageWithoutTheDirectoryLeavesItEmpty) {
  ASSERT_TRUE(fill("/nowhere"));
  ASSERT_TRUE(fill("/etc/passwd"));
  EXPECT_EQ(names(), Names{});
}

TEST_F(VolumeContent, AFillingThatWasCutShortIsDoneAgain) {
  write(place_.directory + "/filling", "");
  write(place_.data() + "/half", "");
  ASSERT_TRUE(fill("/etc"));
  EXPECT_EQ(names(), (Names{"deep", "passwd"}));
}

TEST_F(VolumeContent, ButNotUnderAnotherContainer) {  // nor where the data is elsewhere
  write(place_.directory + "/filling", "");
  write(place_.data() + "/theirs", "");
  ASSERT_TRUE(fill("/etc", HalfFilled::kept));
  EXPECT_EQ(names(), Names{"theirs"});
  EXPECT_FALSE(exists(place_.directory + "/filling"));
}

TEST_F(VolumeContent, AFillingThatWasCutShortIsSettledForOneThatWantsNone) {
  write(place_.directory + "/filling", "");
  write(place_.data() + "/half", "");
  ASSERT_TRUE(settle_filling(place_, HalfFilled::removed, Durability::durable));
  EXPECT_EQ(names(), Names{});
  write(place_.data() + "/mine", "");
  ASSERT_TRUE(settle_filling(place_, HalfFilled::removed, Durability::durable));
  ASSERT_TRUE(fill("/etc"));
  EXPECT_EQ(names(), Names{"mine"});
}

TEST_F(VolumeContent, LinksOfAnImageStayInTheImage) {
  ASSERT_EQ(mkdir(outside_.c_str(), 0755), 0);
  write(outside_ + "/secret", "");
  ASSERT_EQ(symlink(outside_.c_str(), (image_ + "/absolute").c_str()), 0);
  ASSERT_EQ(symlink("../outside", (image_ + "/relative").c_str()), 0);
  ASSERT_TRUE(fill("/absolute"));
  ASSERT_TRUE(fill("/relative"));
  EXPECT_EQ(names(), Names{});
}

TEST_F(VolumeContent, EmptyingFollowsNoLink) {
  ASSERT_EQ(mkdir(outside_.c_str(), 0755), 0);
  write(outside_ + "/precious", "");
  write(place_.directory + "/filling", "");
  ASSERT_EQ(symlink(outside_.c_str(), (place_.data() + "/link").c_str()), 0);
  ASSERT_TRUE(fill("/etc"));
  EXPECT_TRUE(exists(outside_ + "/precious"));
  EXPECT_EQ(names(), (Names{"deep", "passwd"}));
}

TEST_F(VolumeContent, ASizeIsOfTheBlocksInUse) {
  const std::uint64_t before = size_on_disk(place_.data()).value();
  write(place_.data() + "/file", std::string(100'000, 'x'));
  ASSERT_EQ(link((place_.data() + "/file").c_str(), (place_.data() + "/again").c_str()), 0);
  Fd sparse = open_file(place_.data() + "/sparse", O_WRONLY | O_CREAT, 0644).value();
  ASSERT_EQ(ftruncate(sparse.get(), 1 << 30), 0);
  ASSERT_EQ(mkdir(outside_.c_str(), 0755), 0);
  write(outside_ + "/large", std::string(1'000'000, 'x'));
  ASSERT_EQ(symlink(outside_.c_str(), (place_.data() + "/link").c_str()), 0);
  ASSERT_EQ(symlink((outside_ + "/large").c_str(), (place_.data() + "/link2").c_str()), 0);
  sync();
  const std::uint64_t size = size_on_disk(place_.data()).value() - before;
  EXPECT_GE(size, 100'000u);
  EXPECT_LT(size, 180'000u);
}

}  // namespace
}  // namespace berth::engine
