// SPDX-License-Identifier: Apache-2.0
#include "engine/storage.h"

#include <gmock/gmock.h>
#include <sys/mount.h>

#include "base/file.h"
#include "layers/erofs_mount.h"

namespace berth::engine {
namespace {

using testing::HasSubstr;

constexpr const char* kNowhere = "/proc/self/no-such-directory";

TEST(StorageChoice, WhatIsAskedForInVainIsAnErrorThatTellsTheWayOut) {
  Result<Storage> chosen = choose_storage("erofs", kNowhere, kNowhere);
  ASSERT_FALSE(chosen);
  EXPECT_EQ(chosen.error().kind, ErrorKind::unsupported);
  EXPECT_THAT(chosen.error().message, HasSubstr("use overlay, or leave the choice to the engine"));
}

TEST(StorageChoice, WithoutAWishWhatWorksIsTakenAndTheReasonKept) {
  Result<Storage> chosen = choose_storage("", kNowhere, kNowhere);
  ASSERT_TRUE(chosen) << chosen.error().message;
  EXPECT_EQ(chosen->driver, layers::Driver::overlay);
  EXPECT_THAT(chosen->reason, HasSubstr("cannot run containers from EROFS images"));

  TemporaryDirectory temporary = TemporaryDirectory::create("storage").value();
  const bool works = layers::probe_erofs(temporary.path()).has_value();
  chosen = choose_storage("", temporary.path(), kNowhere);
  ASSERT_TRUE(chosen) << chosen.error().message;
  EXPECT_EQ(chosen->driver, works ? layers::Driver::erofs : layers::Driver::overlay);
  EXPECT_NE(chosen->backing, "unknown");
  EXPECT_TRUE(list_directory(temporary.path()).value().empty()) << "trying leaves nothing";
}

TEST(StorageChoice, OnAFullDiskItIsTriedElsewhere) {
  TemporaryDirectory temporary = TemporaryDirectory::create("storage").value();
  const std::string full = temporary.path() + "/full";
  ASSERT_TRUE(make_directories(full, 0700));
  ASSERT_EQ(mount("tmpfs", full.c_str(), "tmpfs", 0, "nr_inodes=1"), 0);
  const bool works = layers::probe_erofs(temporary.path()).has_value();
  Result<Storage> chosen = choose_storage("", full, temporary.path());
  EXPECT_EQ(umount(full.c_str()), 0);
  ASSERT_TRUE(chosen) << chosen.error().message;
  EXPECT_EQ(chosen->driver, works ? layers::Driver::erofs : layers::Driver::overlay);
}

TEST(StorageChoice, BothNamesOfOverlayMeanIt) {
  for (const char* name : {"overlay", "overlay2"}) {
    Result<Storage> chosen = choose_storage(name, "/", "/");
    ASSERT_TRUE(chosen) << chosen.error().message;
    EXPECT_EQ(chosen->driver, layers::Driver::overlay);
    EXPECT_EQ(driver_name(chosen->driver), "overlay2");
  }
}

}  // namespace
}  // namespace berth::engine
